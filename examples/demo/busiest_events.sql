SELECT event_name, start_date::date AS starts, going, attendees, show_up_rate
FROM analytics.attendance_by_event
WHERE start_date < now() AT TIME ZONE 'UTC'
ORDER BY attendees DESC, going DESC, event_id LIMIT 10
