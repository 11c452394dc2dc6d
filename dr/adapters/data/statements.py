"""What is asked of PostgreSQL, as SQL for psql, which runs what a query before `gexec` writes."""

# ruff: noqa: S608 - what is put into these texts are names of this module, and names that PostgreSQL quotes itself

from __future__ import annotations

NAME = "dr_forklift"
# Values must read the same on both sides, whatever the settings of the servers are.
SAME = """SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex';
SET extra_float_digits = 1; SET lc_monetary = 'C'; SET row_security = off; SET search_path = '';
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
"""
_EXTENSION = """EXISTS (SELECT FROM pg_depend d
WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_RELATIONS = """FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'"""
_OURS = f"{_RELATIONS} AND NOT {_EXTENSION}"
TABLES = f"""SELECT json_build_array(n.nspname || '.' || c.relname) {_OURS}
AND c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname;"""
# The sum of the rows' hashes is the same in any order, and needs no memory.
COUNT = f"""SELECT format('SELECT json_build_array(%L, count(*), coalesce(sum((''x'' || left(h, 16))::bit(64)::bigint)
|| ''/'' || sum((''x'' || right(h, 16))::bit(64)::bigint), ''''))
FROM (SELECT md5(convert_to((t.*)::text, ''UTF8'')) AS h FROM ONLY %I.%I t) hashes',
n.nspname || '.' || c.relname, n.nspname, c.relname) {_OURS} AND c.relkind = 'r' ORDER BY n.nspname, c.relname \\gexec
"""
SEQUENCES = f"""SELECT format('SELECT json_build_array(%L, last_value, is_called, %L) FROM %I.%I',
n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
{_OURS} AND c.relkind = 'S' ORDER BY n.nspname, c.relname \\gexec
"""
# The constraints of a partition cannot be dropped one by one, as a dump would.
UNPARTITION = f"""SELECT format('DROP TABLE %I.%I CASCADE', n.nspname, c.relname)
{_OURS} AND c.relkind = 'p' AND NOT c.relispartition \\gexec
"""
DATABASE = "SELECT format('ALTER DATABASE %I {}', current_database()) \\gexec\n"
READ_ONLY = "default_transaction_read_only"
IS_SET = f"""SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE s.setrole = 0 AND d.datname = current_database() AND s.setconfig::text ~ '{READ_ONLY}=';"""
# What may not be looked into is taken for a session that writes; then it may not be ended either, which is an error.
END_SESSIONS = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
AND coalesce(backend_type = 'client backend', true) AND coalesce({}, true);"""
PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database();"
VIEWS = f"""SELECT format('REFRESH MATERIALIZED VIEW %I.%I', n.nspname, c.relname)
{_OURS} AND c.relkind = 'm' ORDER BY c.oid \\gexec
"""
# What logical replication does not carry, or could not tell one row of from another.
OBSTACLES = f"""SELECT json_build_array(n.nspname || '.' || c.relname, CASE WHEN {_EXTENSION}
THEN 'belongs to an extension' WHEN c.relpersistence = 'u' THEN 'is unlogged' ELSE 'has no primary key' END)
{_RELATIONS} AND c.relkind = 'r' AND (c.relpersistence = 'u' OR {_EXTENSION} OR c.relreplident = 'n' OR
c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
ORDER BY n.nspname, c.relname;
SELECT json_build_array('pg_largeobject', 'holds large objects')
WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata);
"""
# A worker runs as its subscription's owner, whose settings in a database outrank those of the database: a frozen side
# can follow. It has to be able to log in, as any worker; without a password nobody else can.
ROLE = f"""DO $$BEGIN CREATE ROLE {NAME} SUPERUSER LOGIN PASSWORD NULL;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;
SELECT format('ALTER ROLE {NAME} IN DATABASE %I SET {READ_ONLY} = off', current_database()) \\gexec
"""
PUBLISH = f"""SELECT 'CREATE PUBLICATION {NAME} FOR ALL TABLES'
WHERE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '{NAME}') \\gexec
"""
_MINE = f"""FROM pg_subscription s
WHERE s.subname = '{NAME}' AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
SUBSCRIBED = f"SELECT count(*) {_MINE};"
COPYING = f"""SELECT count(*) FROM pg_subscription_rel r
WHERE srsubstate <> 'r' AND EXISTS (SELECT {_MINE} AND s.oid = r.srsubid);"""
# The password is in the statement, so that must not be logged. Since 16 a row that came by replication goes no further.
SUBSCRIBE = f"""SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;
SELECT count(*) = 0 AS missing {_MINE} \\gset
SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN '' ELSE ', origin = none' END AS origin \\gset
\\if :missing
BEGIN; SET LOCAL ROLE {NAME};
CREATE SUBSCRIPTION {NAME} CONNECTION {{conninfo}} PUBLICATION {NAME}
WITH (slot_name = '{{slot}}', create_slot = false, copy_data = {{copy}} :origin); COMMIT;
\\endif
"""
# Without its slot, which may be on a server that is gone.
UNSUBSCRIBE = f"""SELECT count(*) > 0 AS mine {_MINE} \\gset
\\if :mine
BEGIN; ALTER SUBSCRIPTION {NAME} DISABLE; ALTER SUBSCRIPTION {NAME} SET (slot_name = NONE);
DROP SUBSCRIPTION {NAME}; COMMIT;
\\endif
"""
SLOT = """SELECT pg_create_logical_replication_slot('{0}', 'pgoutput')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{0}');
"""
DROP_SLOT = """SELECT count(pg_terminate_backend(active_pid, 5000)) AS ended FROM pg_replication_slots
WHERE slot_name = '{0}' AND active \\gset
SELECT count(pg_drop_replication_slot(slot_name)::text) AS dropped FROM pg_replication_slots
WHERE slot_name = '{0}' AND NOT active \\gset
SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{0}';
"""
FORGET = f"""DROP PUBLICATION IF EXISTS {NAME};
SELECT 'DROP ROLE {NAME}' FROM pg_roles r WHERE rolname = '{NAME}'
AND NOT EXISTS (SELECT FROM pg_subscription s WHERE s.subowner = r.oid) \\gexec
"""
