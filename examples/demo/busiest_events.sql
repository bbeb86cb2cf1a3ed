SELECT event_name, start_date::date AS date, going, attendees, show_up_rate
FROM analytics.attendance_by_event
WHERE show_up_rate IS NOT NULL
ORDER BY attendees DESC, event_id LIMIT 8
