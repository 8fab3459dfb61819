-- What the demo's page shows: a room that all see, notes that each user has for himself, and who is typing.
CREATE SCHEMA chat;
CREATE TABLE chat.messages (
    id      bigint PRIMARY KEY DEFAULT snowflake_id(),
    author  text NOT NULL,
    body    text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE chat.notes (
    id   bigint PRIMARY KEY DEFAULT snowflake_id(),
    body text NOT NULL,
    done bool NOT NULL DEFAULT false
) WITH (type = 'user');
CREATE TABLE chat.typing (
    author text PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now()
) WITH (type = 'stream', ttl = '4s');
CREATE ROLE alice LOGIN PASSWORD 'demo';
CREATE ROLE bob LOGIN PASSWORD 'demo';
