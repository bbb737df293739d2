-- The same tables for a peer, in a schema of its own: without the service's row-level security.
CREATE TABLE users (LIKE tasks_backend.users INCLUDING ALL);
CREATE TABLE tasks (LIKE tasks_backend.tasks INCLUDING ALL);
ALTER TABLE tasks ALTER COLUMN id SET DEFAULT uuidv7();
INSERT INTO users SELECT * FROM tasks_backend.users;
INSERT INTO tasks SELECT * FROM tasks_backend.tasks;
ALTER TABLE tasks ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
