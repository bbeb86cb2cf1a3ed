-- Attendance from the views of duckdb.sql. Run both in the folder that has `output/`:
--
--     duckdb warehouse.duckdb < examples/duckdb.sql
--     duckdb warehouse.duckdb < examples/duckdb_attendance.sql
--
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
    FROM checkins WHERE deleted IS NOT TRUE GROUP BY "eventId"
) AS checked_in ON checked_in."eventId" = events.id
WHERE deleted IS NOT TRUE AND draft IS NOT TRUE AND template IS NOT TRUE;

COPY (SELECT * FROM attendance ORDER BY event_id)
TO 'output/campusgroups/attendance.parquet' (FORMAT parquet);
