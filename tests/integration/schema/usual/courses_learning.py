"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "courses.course_module": {"sort_order": count(1)},
    "courses.lesson": {"sort_order": count(1), "lesson_kind": "page"},
    "courses.content_item": {"content_kind": "html", "language_code": "en-US"},
    "courses.content_version": {"version_no": count(1)},
    "courses.media_rendition": {"height": count(240)},
    "courses.caption_track": {"language_code": "en-US", "origin": "human"},
    "courses.scorm_package": {
        "entry_point": "index.html",
        "manifest": '{"organizations": [{"items": [{"identifier": "sco-1", "resource": "r1"}]}]}',
        "validation_state": "valid",
    },
    "courses.scorm_attempt": {"sco_identifier": "sco-1"},
    "courses.release_rule": {"rule_kind": "manual"},
    "courses.accessibility_issue": {"criterion_code": "1.1.1", "location": "at {n}"},
    "courses.question": {"question_kind": "single_choice"},
    "courses.answer_option": {"sort_order": count(1), "option_text": "option {n}"},
    "courses.assessment_slot": {"slot_no": count(1)},
    "courses.proctoring_flag": {"flag_kind": "phone", "offset_seconds": 10, "confidence": 0.5},
    "courses.question_statistic": {"window_start": "2026-05-01", "window_end": "2026-05-31"},
    "courses.video_progress": {"duration_seconds": 600},
    "courses.learning_statement": {"verb": "experienced", "object_kind": "lesson"},
    "courses.learning_session": {
        "started_at": "2026-05-04 10:00+00",
        "ended_at": "2026-05-04 10:10+00",
        "active_seconds": 500,
        "idle_seconds": 100,
    },
    "courses.learning_goal": {"goal_kind": "minutes_per_week", "target_value": 90},
}
