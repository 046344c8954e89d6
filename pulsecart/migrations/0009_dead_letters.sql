-- Reading what others wrote: none of these functions raises an error, whatever it is given.

-- A document of the log or of a dead letter; NULL where it is not JSON, not UTF-8, or holds what jsonb cannot (\u0000).
CREATE FUNCTION json_body(body bytea) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;

-- ->> raises an error at an escape that PostgreSQL cannot store, anywhere in the document: such a document has no members.
CREATE FUNCTION json_member(document json, name text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN strpos(document::text, '\u') = 0 OR pg_input_is_valid(document::text, 'jsonb') THEN document ->> name
    END
$$;

CREATE FUNCTION to_numeric(digits text) RETURNS numeric LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN digits ~ '^-?[0-9]{1,40}([.][0-9]{1,40})?$' THEN digits::numeric END
$$;

CREATE FUNCTION to_sequence(digits text) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN digits ~ '^0*[0-9]{1,18}$' THEN digits::bigint END
$$;

-- A dead letter can always be stored: raw is the event as it came. trigger, source and event_id are its key: what is too
-- long or cannot be stored as text stands there shortened, with its SHA-256. event is the same as JSON, for those who
-- read with SQL; NULL where PostgreSQL cannot read it. raw is NULL where an older version wrote the row.
ALTER TABLE dead_letters
    ALTER COLUMN event DROP NOT NULL,
    ADD COLUMN raw            bytea,
    ADD COLUMN partitionkey   text,
    ADD COLUMN replay_due_at  timestamptz,        -- on a cluster, where relay replays: when it is to be sent
    ADD COLUMN discarded_at   timestamptz,
    ADD COLUMN discarded_by   text,
    ADD COLUMN discarded_why  text;
UPDATE dead_letters SET partitionkey = json_member(event, 'partitionkey');
CREATE INDEX dead_letters_open ON dead_letters (dead_letter_id) WHERE replayed_at IS NULL AND discarded_at IS NULL;
CREATE INDEX dead_letters_replay ON dead_letters (replay_due_at) WHERE replay_due_at IS NOT NULL;
