-- Attendance from the files of target-jsonl, in DuckDB. Run it in the folder that has `output/`:
--
--     meltano run tap-campusgroups target-jsonl
--     duckdb warehouse.duckdb < examples/duckdb.sql
--
-- target-jsonl appends: a row appears once for every time the tap has read it. The column types are
-- explicit because DuckDB infers DOUBLE for decimals; use DECIMAL(38, 9) for `payments.amount`.
-- Timestamps are in UTC; `startDate` is a local time if the API sends no offset.

CREATE OR REPLACE MACRO latest(lines) AS TABLE
SELECT * EXCLUDE (line) FROM query_table(lines)
QUALIFY row_number() OVER (PARTITION BY id ORDER BY "updatedOn" DESC NULLS LAST, line DESC) = 1;

CREATE OR REPLACE VIEW events_lines AS
SELECT *, row_number() OVER () AS line
FROM read_ndjson('output/campusgroups/events.jsonl', columns = {
    id: 'BIGINT', "updatedOn": 'TIMESTAMP', name: 'VARCHAR', "groupId": 'BIGINT',
    type: 'STRUCT(id BIGINT, name VARCHAR)', "startDate": 'TIMESTAMP',
    draft: 'BOOLEAN', template: 'BOOLEAN', deleted: 'BOOLEAN'
});

CREATE OR REPLACE VIEW checkins_lines AS
SELECT *, row_number() OVER () AS line
FROM read_ndjson('output/campusgroups/checkins.jsonl', columns = {
    id: 'BIGINT', "updatedOn": 'TIMESTAMP', "eventId": 'BIGINT', "checkedinUserId": 'BIGINT',
    deleted: 'BOOLEAN'
});

CREATE OR REPLACE VIEW rsvp_lines AS
SELECT *, row_number() OVER () AS line
FROM read_ndjson('output/campusgroups/rsvp.jsonl', columns = {
    id: 'BIGINT', "updatedOn": 'TIMESTAMP', "eventId": 'BIGINT', rsvp: 'VARCHAR'
});

-- Deleted rows are filtered out after the latest rows were selected, not before.
CREATE OR REPLACE VIEW events AS
SELECT * FROM latest('events_lines') WHERE deleted IS NOT TRUE;

CREATE OR REPLACE VIEW checkins AS
SELECT * FROM latest('checkins_lines') WHERE deleted IS NOT TRUE;

CREATE OR REPLACE VIEW rsvp AS
SELECT * FROM latest('rsvp_lines');

-- The API does not document its RSVP answers: replace 'yes' if your school uses another word.
CREATE OR REPLACE VIEW attendance AS
SELECT
    events.id AS event_id, events.name AS event_name, events."startDate" AS start_date,
    date_trunc('week', events."startDate")::DATE AS week,
    coalesce(rsvps, 0) AS rsvps, coalesce(going, 0) AS going,
    coalesce(checkins, 0) AS checkins, coalesce(attendees, 0) AS attendees
FROM events
LEFT JOIN (
    SELECT
        "eventId", count(*) AS rsvps,
        count(*) FILTER (WHERE lower(trim(rsvp)) = 'yes') AS going
    FROM rsvp GROUP BY "eventId"
) AS answers ON answers."eventId" = events.id
LEFT JOIN (
    SELECT
        "eventId", count(*) AS checkins, count(DISTINCT "checkedinUserId") AS attendees
    FROM checkins GROUP BY "eventId"
) AS checked_in ON checked_in."eventId" = events.id
WHERE draft IS NOT TRUE AND template IS NOT TRUE;

COPY (SELECT * FROM attendance ORDER BY event_id)
TO 'output/campusgroups/attendance.parquet' (FORMAT parquet);
