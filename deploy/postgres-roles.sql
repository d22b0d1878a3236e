-- The roles of modq and what each may do; this file is all of it, and running it again makes it so again.
--
--   psql --dbname=modq --file=deploy/postgres-roles.sql        as a superuser, or as the owner of the database with CREATEROLE
--
-- Run it before the first `modq migrate`, which must run as modq_migrate, and once more after every `modq migrate` that
-- changed something: rights are given table by table, and a new table is nobody's. The database must be modq's alone.
--
-- The roles are made without passwords, so that nobody can log in by one. Give each its own in psql, where it is neither
-- echoed nor logged:  \password modq_worker

BEGIN;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['modq_migrate', 'modq_worker', 'modq_notifier', 'modq_operator', 'modq_read'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role);
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), role);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    END LOOP;
    -- Nobody else, and no temporary tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- migrate: owns the tables, so it can do anything to them; nothing that runs all day uses it.
GRANT CREATE ON SCHEMA public TO modq_migrate;

DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT c.relname, c.relkind FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND pg_get_userbyid(c.relowner) <> 'modq_migrate'
    LOOP
        EXECUTE format('ALTER %s public.%I OWNER TO modq_migrate', CASE thing.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, thing.relname);
    END LOOP;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, modq_worker, modq_notifier, modq_operator, modq_read;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, modq_worker, modq_notifier, modq_operator, modq_read;

    IF to_regclass('public.posts') IS NULL THEN
        RAISE NOTICE 'modq: there are no tables yet. Run `modq migrate` as modq_migrate, then this file once more.';
        RETURN;
    END IF;

    -- worker: writes, and reads nothing of what it wrote but keys; no text, no author, no secret, no URL.
    GRANT INSERT ON posts TO modq_worker;
    GRANT INSERT (post_key, revision, label, score, rules, severity, truncated, adapter, policy), SELECT (post_key, revision, label)
        ON verdicts TO modq_worker;
    GRANT INSERT (post_key, revision, endpoint_id, webhook_id, event), SELECT (id) ON deliveries TO modq_worker;
    GRANT INSERT (lane, entry_id, raw, reason, detail, source, post_id) ON dead_letters TO modq_worker;
    -- It locks endpoints against removal, for which Postgres wants the right to change some column: one that nothing depends on.
    GRANT SELECT (id, source, events, disabled_at, failing_since), UPDATE (created_at) ON endpoints TO modq_worker;

    -- notifier: reads what a webhook tells, which is no text; records what has become of a delivery; disables endpoints.
    GRANT SELECT (key, source, post_id, content_hash, lane, conversation, author, published_at, metadata) ON posts TO modq_notifier;
    GRANT SELECT ON verdicts TO modq_notifier;
    GRANT SELECT, UPDATE (state, attempts, next_attempt_at, locked_until, last_status, last_error, delivered_at) ON deliveries TO modq_notifier;
    GRANT SELECT, UPDATE (disabled_at, disabled_reason, failing_since) ON endpoints TO modq_notifier;

    -- operator: the person at `modq endpoints`, `dead-letters`, `verdicts show`, `expire` and `erase`; makes no verdicts and no tables.
    GRANT SELECT, DELETE ON posts, verdicts, deliveries, dead_letters, endpoints TO modq_operator;
    GRANT SELECT ON verdicts_in_force TO modq_operator;
    GRANT UPDATE (text, parent_text) ON posts TO modq_operator;
    GRANT UPDATE (state, attempts, next_attempt_at, locked_until, delivered_at) ON deliveries TO modq_operator;
    GRANT UPDATE (raw, replayed_at) ON dead_letters TO modq_operator;
    GRANT INSERT, UPDATE ON endpoints TO modq_operator;

    -- read: the verdicts, and nothing that lies under them.
    GRANT SELECT ON verdicts_in_force TO modq_read;
END $$;

COMMIT;
