WITH came AS (
  SELECT "eventId", count(*) AS checkins FROM campusgroups.checkins
  WHERE deleted IS NOT TRUE GROUP BY "eventId"
), answered AS (
  SELECT "eventId", count(*) AS rsvps FROM campusgroups.rsvp GROUP BY "eventId"
)
SELECT e.name, e."startDate"::date AS starts,
       coalesce(rsvps, 0) AS rsvps, checkins
FROM campusgroups.events AS e
JOIN came ON came."eventId" = e.id
LEFT JOIN answered ON answered."eventId" = e.id
WHERE e.deleted IS NOT TRUE AND e."startDate" < now() AT TIME ZONE 'UTC'
ORDER BY checkins DESC, rsvps DESC, e.id LIMIT 10
