-- The same tables for a peer, in a schema of its own: without the service's row-level security, and
-- with the index for the order that the peers ask for, which is not the service's (decision 0014).
CREATE TABLE users (LIKE tasks_backend.users INCLUDING ALL);
CREATE TABLE tasks (LIKE tasks_backend.tasks INCLUDING ALL EXCLUDING INDEXES);
ALTER TABLE tasks ADD PRIMARY KEY (id);
CREATE INDEX ON tasks (user_id, id);
ALTER TABLE tasks ALTER COLUMN id SET DEFAULT uuidv7();
INSERT INTO users SELECT * FROM tasks_backend.users;
INSERT INTO tasks SELECT * FROM tasks_backend.tasks;
ALTER TABLE tasks ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
