-- A learner opens a lesson: what is on it, its streams and captions, and where the film stopped.
-- budget: p95 60ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: enrollment_id, lesson_id from courses.lesson_progress where lesson_id in (select i.lesson_id from courses.content_item as i where i.status = 'published')
SELECT l.business_id, l.lesson_id, l.title AS lesson, i.content_item_id, i.content_kind, i.title,
       i.body, i.source_url, i.duration_seconds, r.streams, t.tracks, v.position_seconds,
       v.watched_pct
FROM courses.lesson AS l
JOIN courses.content_item AS i
    ON i.business_id = %(business_id)s AND i.lesson_id = l.lesson_id AND i.status = 'published'
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('kind', x.rendition_kind, 'height', x.height,
                                        'kbps', x.bitrate_kbps, 'file', x.file_object_id)
           ORDER BY x.height DESC) AS streams
    FROM courses.media_rendition AS x
    WHERE x.business_id = %(business_id)s AND x.content_item_id = i.content_item_id
      AND x.encode_state = 'ready'
) AS r ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('kind', x.track_kind, 'language', x.language_code,
                                        'default', x.is_default, 'file', x.file_object_id)
           ORDER BY x.track_kind, x.language_code) AS tracks
    FROM courses.caption_track AS x
    WHERE x.business_id = %(business_id)s AND x.content_item_id = i.content_item_id
      AND x.status = 'published'
) AS t ON true
LEFT JOIN courses.video_progress AS v
    ON v.business_id = %(business_id)s AND v.enrollment_id = %(enrollment_id)s
   AND v.content_item_id = i.content_item_id
WHERE l.business_id = %(business_id)s AND l.lesson_id = %(lesson_id)s
ORDER BY i.sort_order, i.content_item_id
