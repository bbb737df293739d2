-- For a peer that keeps the service's promises: its login sees the rows of the identity alone.
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON users USING (id = current_setting('app.user_id', true));
CREATE POLICY own_rows ON tasks USING (user_id = current_setting('app.user_id', true));
