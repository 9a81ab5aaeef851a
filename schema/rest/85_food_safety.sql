/*
 * Food safety: what is checked by hand, what is dated, what goes wrong and what inspectors find.
 *
 * A safety_checklist is a version of a list of items; a checklist_run is one time that somebody
 * works through it: its score follows from joining its answers with the items of its list, and it
 * fails below the score that the list asks for. A food_label dates what was prepared, opened or
 * held. A food_safety_incident is a complaint or a finding of our own. A health_inspection has the
 * inspection_violations of its report. What is then done about a failed run, an incident or a
 * violation is a corrective_action (87_recalls.sql).
 */

CREATE TABLE rest.safety_checklist (
    business_id         uuid                   NOT NULL,
    safety_checklist_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid,
    checklist_code      system_core.code       NOT NULL,
    title               text                   NOT NULL,
    checklist_kind      text                   NOT NULL,
    version_no          integer                NOT NULL,
    frequency           text                   NOT NULL,
    due_time            time,
    items_doc           system_core.json_array NOT NULL DEFAULT '[]',
    item_count          integer                NOT NULL
                        GENERATED ALWAYS AS (jsonb_array_length(items_doc::jsonb)) STORED,
    passing_score_pct   system_core.percentage NOT NULL DEFAULT 100,
    effective_from      date                   NOT NULL,
    is_active           boolean                NOT NULL DEFAULT true,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, safety_checklist_id),
    UNIQUE (business_id, checklist_code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT safety_checklist_kind_known
        CHECK (checklist_kind IN ('opening', 'closing', 'line_check', 'cleaning', 'receiving',
                                  'self_inspection', 'manager_walk')),
    CONSTRAINT safety_checklist_frequency_known
        CHECK (frequency IN ('each_shift', 'daily', 'weekly', 'monthly')),
    CONSTRAINT safety_checklist_version_counts_from_1 CHECK (version_no >= 1),
    CONSTRAINT safety_checklist_passing_score_bounded CHECK (passing_score_pct BETWEEN 0 AND 100),
    CONSTRAINT safety_checklist_active_has_items
        CHECK (NOT is_active OR jsonb_array_length(items_doc::jsonb) > 0)
);

COMMENT ON TABLE rest.safety_checklist IS
    'Template of an opening, line, cleaning or self-inspection checklist.';
COMMENT ON COLUMN rest.safety_checklist.location_id IS 'NULL where every site works by it.';
COMMENT ON COLUMN rest.safety_checklist.due_time IS 'By when it is done, in the time of the site.';
COMMENT ON COLUMN rest.safety_checklist.items_doc IS
    'Array of {item_no, text, answer_kind, min, max, critical}; answer_kind is bool, number, temp
     or photo; min and max bound a number or a temperature in degrees Celsius.';
COMMENT ON COLUMN rest.safety_checklist.passing_score_pct IS
    'A run with fewer of its items in order than this has failed.';

-- FK: the safety checklists of a location.
CREATE INDEX safety_checklist_location_idx
    ON rest.safety_checklist (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE rest.safety_checklist ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.safety_checklist
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.safety_checklist TO app_user;
GRANT SELECT ON rest.safety_checklist TO app_readonly;

CREATE TRIGGER safety_checklist_touch
    BEFORE UPDATE ON rest.safety_checklist
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.check_safety_items() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT t.place, CASE
               WHEN t.item_no IS NULL OR t.item_no < 1 THEN 'has no number'
               WHEN count(*) OVER (PARTITION BY t.item_no) > 1 THEN 'has the number of another'
               WHEN t.question IS NULL OR t.question !~ '\S' THEN 'asks nothing'
               WHEN t.answer_kind IS NULL
                    OR t.answer_kind NOT IN ('bool', 'number', 'temp', 'photo')
               THEN 'has an unknown kind of answer'
               WHEN t.least > t.most THEN 'has a least above its most'
               WHEN num_nonnulls(t.least, t.most) > 0 AND t.answer_kind IN ('bool', 'photo')
               THEN 'has bounds but no number'
           END AS fault
    INTO wrong
    FROM JSON_TABLE(NEW.items_doc::jsonb, '$[*]' COLUMNS (
        place       FOR ORDINALITY,
        item_no     integer PATH '$.item_no',
        question    text PATH '$.text',
        answer_kind text PATH '$.answer_kind',
        least       numeric PATH '$.min',
        most        numeric PATH '$.max'
    )) AS t
    ORDER BY 2 NULLS LAST, 1
    LIMIT 1;
    IF wrong.fault IS NOT NULL THEN
        RAISE EXCEPTION 'item % of checklist % %', wrong.place, NEW.checklist_code, wrong.fault
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND row_security_active('rest.safety_checklist')
       AND EXISTS (SELECT FROM rest.checklist_run AS r
                   WHERE r.business_id = OLD.business_id
                     AND r.safety_checklist_id = OLD.safety_checklist_id) THEN
        RAISE EXCEPTION 'version % of checklist % was run, it stands', OLD.version_no,
                        OLD.checklist_code
            USING ERRCODE = 'check_violation', HINT = 'Make a new version.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_safety_items() IS
    'Items are numbered, ask something and have bounds that can be met; a version that was run
     keeps its items and its passing score, or old scores would lose their meaning.';

CREATE TRIGGER safety_checklist_items_on_insert
    BEFORE INSERT ON rest.safety_checklist
    FOR EACH ROW EXECUTE FUNCTION rest.check_safety_items();

CREATE TRIGGER safety_checklist_items_on_update
    BEFORE UPDATE ON rest.safety_checklist
    FOR EACH ROW WHEN (NEW.items_doc::jsonb <> OLD.items_doc::jsonb
                       OR NEW.passing_score_pct <> OLD.passing_score_pct)
    EXECUTE FUNCTION rest.check_safety_items();

CREATE FUNCTION rest.judge_answers(items jsonb, answers jsonb)
    RETURNS TABLE (
        item_no     integer,
        question    text,
        answer_kind text,
        is_critical boolean,
        answer      text,
        note        text,
        is_in_order boolean
    )
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- What was not answered is not in order; a number is judged by its bounds.
    SELECT i.item_no, i.question, i.answer_kind, coalesce(i.critical, false), a.answer, a.note,
           coalesce(a.ok, true) AND coalesce(
               CASE WHEN i.answer_kind = 'photo' THEN a.photo_id ~ '\S'
                    WHEN i.answer_kind = 'bool' THEN a.answer = 'true'
                    ELSE a.measured >= coalesce(i.least, a.measured)
                         AND a.measured <= coalesce(i.most, a.measured) END, false)
    FROM JSON_TABLE(items, '$[*]' COLUMNS (
        item_no     integer PATH '$.item_no',
        question    text PATH '$.text',
        answer_kind text PATH '$.answer_kind',
        least       numeric PATH '$.min',
        most        numeric PATH '$.max',
        critical    boolean PATH '$.critical'
    )) AS i
    LEFT JOIN LATERAL (
        SELECT v.answer, t.ok, t.note, t.photo_id,
               CASE WHEN v.answer ~ '^-?[0-9]{1,9}(\.[0-9]{1,9})?$' THEN v.answer::numeric
               END AS measured
        FROM JSON_TABLE(answers, '$[*]' COLUMNS (
            item_no  integer PATH '$.item_no',
            given    jsonb PATH '$.value',
            ok       boolean PATH '$.ok',
            note     text PATH '$.note',
            photo_id text PATH '$.photo_id'
        )) AS t
        CROSS JOIN LATERAL (SELECT t.given #>> '{}' AS answer) AS v
        WHERE t.item_no = i.item_no
        LIMIT 1
    ) AS a ON true
    ORDER BY i.item_no;
END;
COMMENT ON FUNCTION rest.judge_answers(jsonb, jsonb) IS
    'Joins the items of a checklist with the answers of a run: one row for each item, answered or
     not, and whether it is in order.';


CREATE TABLE rest.checklist_run (
    business_id           uuid                   NOT NULL,
    checklist_run_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    performed_by_staff_id uuid,
    reviewed_by_staff_id  uuid,
    safety_checklist_id   uuid                   NOT NULL,
    location_id           uuid                   NOT NULL,
    business_date         date                   NOT NULL,
    due_at                timestamptz            NOT NULL,
    started_at            timestamptz,
    completed_at          timestamptz,
    state                 text                   NOT NULL DEFAULT 'pending',
    score_pct             system_core.percentage,
    failed_count          integer                NOT NULL DEFAULT 0,
    answers_doc           system_core.json_array NOT NULL DEFAULT '[]',
    signature_name        text,
    minutes_late          integer,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, checklist_run_id),
    UNIQUE (business_id, safety_checklist_id, location_id, due_at),
    FOREIGN KEY (business_id, performed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, reviewed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, safety_checklist_id)
        REFERENCES rest.safety_checklist (business_id, safety_checklist_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT checklist_run_state_known
        CHECK (state IN ('pending', 'in_progress', 'completed', 'missed', 'failed')),
    CONSTRAINT checklist_run_completed_at_follows_started_at CHECK (completed_at >= started_at),
    CONSTRAINT checklist_run_started_has_time
        CHECK (state IN ('pending', 'missed') OR started_at IS NOT NULL),
    CONSTRAINT checklist_run_done_is_signed
        CHECK ((state IN ('completed', 'failed')) = (completed_at IS NOT NULL)
               AND (completed_at IS NULL
                    OR num_nonnulls(performed_by_staff_id, score_pct, minutes_late) = 3)),
    CONSTRAINT checklist_run_reviewed_by_another
        CHECK (reviewed_by_staff_id <> performed_by_staff_id),
    CONSTRAINT checklist_run_reviewed_when_done
        CHECK (reviewed_by_staff_id IS NULL OR completed_at IS NOT NULL),
    CONSTRAINT checklist_run_score_bounded CHECK (score_pct BETWEEN 0 AND 100),
    CONSTRAINT checklist_run_figures_not_negative CHECK (failed_count >= 0 AND minutes_late >= 0)
);

COMMENT ON TABLE rest.checklist_run IS 'One execution of a checklist with its answers.';
COMMENT ON COLUMN rest.checklist_run.answers_doc IS
    'Array of {item_no, value, ok, note, photo_id}; frozen once the run is done.';
COMMENT ON COLUMN rest.checklist_run.score_pct IS
    'Items in order per hundred items of the list; below the passing score the run has failed.';

-- FK: who did what.
CREATE INDEX checklist_run_performed_by_staff_idx
    ON rest.checklist_run (business_id, performed_by_staff_id)
    WHERE performed_by_staff_id IS NOT NULL;

-- FK: who reviewed what.
CREATE INDEX checklist_run_reviewed_by_staff_idx
    ON rest.checklist_run (business_id, reviewed_by_staff_id)
    WHERE reviewed_by_staff_id IS NOT NULL;

-- FK and the manager's day: what a site checked, was late with or missed.
CREATE INDEX checklist_run_location_idx
    ON rest.checklist_run (business_id, location_id, business_date);

-- Reminders: what is still to be done.
CREATE INDEX checklist_run_due_idx
    ON rest.checklist_run (business_id, due_at)
    WHERE state IN ('pending', 'in_progress');

ALTER TABLE rest.checklist_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.checklist_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.checklist_run TO app_user;
GRANT SELECT ON rest.checklist_run TO app_readonly;

CREATE TRIGGER checklist_run_touch
    BEFORE UPDATE ON rest.checklist_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.score_checklist_run() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    list rest.safety_checklist;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.completed_at IS NOT NULL THEN
        RAISE EXCEPTION 'the checklist of % is done, it stands', OLD.completed_at
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state NOT IN ('completed', 'failed') THEN
        RETURN NEW;
    END IF;
    SELECT l.* INTO STRICT list
    FROM rest.safety_checklist AS l
    WHERE l.business_id = NEW.business_id AND l.safety_checklist_id = NEW.safety_checklist_id;
    NEW.completed_at := coalesce(NEW.completed_at, now());
    SELECT count(*) FILTER (WHERE NOT j.is_in_order),
           coalesce(round(100.0 * count(*) FILTER (WHERE j.is_in_order) / nullif(count(*), 0), 4),
                    100)
    INTO NEW.failed_count, NEW.score_pct
    FROM rest.judge_answers(list.items_doc, NEW.answers_doc) AS j;
    NEW.minutes_late := greatest(0, extract(epoch FROM NEW.completed_at - NEW.due_at) / 60);
    NEW.state := CASE WHEN NEW.score_pct < list.passing_score_pct THEN 'failed'
                      ELSE 'completed' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.score_checklist_run() IS
    'What a run scores, how late it is and whether it failed follow from its answers, not from who
     fills it in; a run that is done stands.';

CREATE TRIGGER checklist_run_score_on_insert
    BEFORE INSERT ON rest.checklist_run
    FOR EACH ROW EXECUTE FUNCTION rest.score_checklist_run();

CREATE TRIGGER checklist_run_score_on_update
    BEFORE UPDATE ON rest.checklist_run
    FOR EACH ROW WHEN ((NEW.state, NEW.answers_doc::jsonb, NEW.completed_at, NEW.due_at,
                        NEW.score_pct, NEW.failed_count, NEW.minutes_late,
                        NEW.performed_by_staff_id, NEW.safety_checklist_id)
                       IS DISTINCT FROM
                       (OLD.state, OLD.answers_doc::jsonb, OLD.completed_at, OLD.due_at,
                        OLD.score_pct, OLD.failed_count, OLD.minutes_late,
                        OLD.performed_by_staff_id, OLD.safety_checklist_id))
    EXECUTE FUNCTION rest.score_checklist_run();

CREATE TRIGGER checklist_run_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.checklist_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending", "in_progress"],
        "transitions": {
            "pending":     ["in_progress", "missed"],
            "in_progress": ["completed", "failed", "missed"],
            "completed":   [],
            "missed":      [],
            "failed":      []
        }}');

CREATE FUNCTION rest.failed_critical_items(run uuid)
    RETURNS TABLE (item_no integer, question text, answer text, note text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.item_no, j.question, j.answer, j.note
    FROM rest.checklist_run AS r
    JOIN rest.safety_checklist AS l
        ON l.business_id = r.business_id AND l.safety_checklist_id = r.safety_checklist_id
    CROSS JOIN LATERAL rest.judge_answers(l.items_doc, r.answers_doc) AS j
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.checklist_run_id = run
      AND r.completed_at IS NOT NULL AND j.is_critical AND NOT j.is_in_order
    ORDER BY j.item_no;
END;
COMMENT ON FUNCTION rest.failed_critical_items(uuid) IS
    'The items of a done run that must not fail and did.';

CREATE FUNCTION rest.miss_checklist_runs(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    missed integer;
BEGIN
    -- A run is late until the next of its kind is due, then it is missed.
    UPDATE rest.checklist_run AS r
    SET state = 'missed'
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.state IN ('pending', 'in_progress') AND r.due_at < moment
      AND EXISTS (SELECT FROM rest.checklist_run AS n
                  WHERE n.business_id = r.business_id
                    AND n.safety_checklist_id = r.safety_checklist_id
                    AND n.location_id = r.location_id
                    AND n.due_at > r.due_at AND n.due_at <= moment);
    GET DIAGNOSTICS missed = ROW_COUNT;
    RETURN missed;
END
$$;
COMMENT ON FUNCTION rest.miss_checklist_runs(timestamptz) IS
    'Gives up runs that were not done when the next of the same list was due; returns how many.';

CREATE VIEW rest.v_failed_critical_item WITH (security_invoker = true) AS
SELECT r.business_id, r.location_id, r.checklist_run_id, r.business_date, r.completed_at, r.state,
       r.performed_by_staff_id, l.checklist_code, l.title, j.item_no, j.question, j.answer, j.note
FROM rest.checklist_run AS r
JOIN rest.safety_checklist AS l
    ON l.business_id = r.business_id AND l.safety_checklist_id = r.safety_checklist_id
CROSS JOIN LATERAL rest.judge_answers(l.items_doc, r.answers_doc) AS j
WHERE r.completed_at IS NOT NULL AND r.failed_count > 0 AND j.is_critical AND NOT j.is_in_order;

COMMENT ON VIEW rest.v_failed_critical_item IS
    'Items that must not fail and did, with the answer given and who gave it.';
GRANT SELECT ON rest.v_failed_critical_item TO app_user, app_readonly;


CREATE TABLE rest.food_label (
    business_id         uuid                 NOT NULL,
    food_label_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    printed_by_staff_id uuid                 NOT NULL,
    location_id         uuid                 NOT NULL,
    inventory_item_id   uuid,
    production_batch_id uuid,
    stock_lot_id        uuid,
    label_code          system_core.code     NOT NULL,
    label_kind          text                 NOT NULL,
    prepared_at         timestamptz          NOT NULL,
    use_by_at           timestamptz          NOT NULL,
    quantity            system_core.quantity,
    printed_at          timestamptz          NOT NULL DEFAULT now(),
    state               text                 NOT NULL DEFAULT 'active',
    discarded_at        timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, food_label_id),
    UNIQUE (business_id, label_code),
    FOREIGN KEY (business_id, printed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, production_batch_id)
        REFERENCES rest.production_batch (business_id, production_batch_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT food_label_kind_known
        CHECK (label_kind IN ('prep', 'opened', 'thawed', 'time_hold_hot', 'time_hold_cold')),
    CONSTRAINT food_label_state_known CHECK (state IN ('active', 'used', 'discarded', 'expired')),
    CONSTRAINT food_label_names_food
        CHECK (num_nonnulls(inventory_item_id, production_batch_id, stock_lot_id) > 0),
    -- The longest that any rule allows; what a kitchen allows is shorter and with its items.
    CONSTRAINT food_label_used_in_time
        CHECK (use_by_at > prepared_at
               AND use_by_at - prepared_at <= CASE label_kind
                   WHEN 'time_hold_hot' THEN interval '4 hours'
                   WHEN 'time_hold_cold' THEN interval '6 hours'
                   ELSE interval '7 days' END),
    CONSTRAINT food_label_quantity_positive CHECK (quantity > 0),
    CONSTRAINT food_label_discarded_has_time
        CHECK ((state = 'discarded') = (discarded_at IS NOT NULL)),
    CONSTRAINT food_label_discarded_after_preparing CHECK (discarded_at >= prepared_at)
);

COMMENT ON TABLE rest.food_label IS
    'Date-marking label: prepared, opened or held by time, with its discard moment.';
COMMENT ON COLUMN rest.food_label.prepared_at IS
    'When it was made, opened, thawed or taken out of temperature control.';

-- FK: the labels that somebody printed.
CREATE INDEX food_label_printed_by_staff_idx
    ON rest.food_label (business_id, printed_by_staff_id);

-- FK: the labels of a site.
CREATE INDEX food_label_location_idx ON rest.food_label (business_id, location_id, use_by_at);

-- Expiry: labels in use in the order in which they run out.
CREATE INDEX food_label_use_by_idx
    ON rest.food_label (business_id, use_by_at)
    WHERE state = 'active';

-- FK: the labels of an item.
CREATE INDEX food_label_inventory_item_idx
    ON rest.food_label (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the labels of a batch.
CREATE INDEX food_label_production_batch_idx
    ON rest.food_label (business_id, production_batch_id)
    WHERE production_batch_id IS NOT NULL;

-- FK: the labels of a lot.
CREATE INDEX food_label_stock_lot_idx
    ON rest.food_label (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.food_label ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.food_label
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.food_label TO app_user;
GRANT SELECT ON rest.food_label TO app_readonly;

CREATE TRIGGER food_label_touch
    BEFORE UPDATE ON rest.food_label
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER food_label_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.food_label
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":    ["used", "discarded", "expired"],
            "expired":   ["discarded"],
            "used":      [],
            "discarded": []
        }}');

CREATE FUNCTION rest.refuse_use_past_date() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'label % ran out at %, its food is not used', OLD.label_code, OLD.use_by_at
        USING ERRCODE = 'check_violation', HINT = 'Throw it away.';
END
$$;
COMMENT ON FUNCTION rest.refuse_use_past_date() IS 'Food past its date is thrown away, not used.';

CREATE TRIGGER food_label_used_in_time
    BEFORE UPDATE OF state ON rest.food_label
    FOR EACH ROW WHEN (NEW.state = 'used' AND OLD.state = 'active' AND OLD.use_by_at < now())
    EXECUTE FUNCTION rest.refuse_use_past_date();

CREATE FUNCTION rest.expire_food_labels(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    expired integer;
BEGIN
    UPDATE rest.food_label AS f
    SET state = 'expired'
    WHERE f.business_id = tenant_mgmt.current_business_id()
      AND f.state = 'active' AND f.use_by_at < moment;
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END
$$;
COMMENT ON FUNCTION rest.expire_food_labels(timestamptz) IS
    'Marks the labels whose time ran out, for somebody to throw the food away; returns how many.';


CREATE TABLE rest.food_safety_incident (
    business_id             uuid        NOT NULL,
    food_safety_incident_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reported_by_staff_id    uuid,
    location_id             uuid        NOT NULL,
    guest_order_id          uuid,
    guest_profile_id        uuid,
    menu_item_id            uuid,
    incident_number         text        NOT NULL,
    incident_kind           text        NOT NULL,
    severity                text        NOT NULL,
    occurred_at             timestamptz NOT NULL,
    reported_at             timestamptz NOT NULL DEFAULT now(),
    people_affected         integer     NOT NULL DEFAULT 0,
    symptoms                text,
    regulator_notified_at   timestamptz,
    root_cause              text,
    state                   text        NOT NULL DEFAULT 'open',
    closed_at               timestamptz,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, food_safety_incident_id),
    UNIQUE (business_id, incident_number),
    FOREIGN KEY (business_id, reported_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT food_safety_incident_kind_known
        CHECK (incident_kind IN ('illness_complaint', 'allergic_reaction', 'foreign_object',
                                 'temperature_abuse', 'pest', 'employee_illness',
                                 'contamination')),
    CONSTRAINT food_safety_incident_severity_known
        CHECK (severity IN ('minor', 'moderate', 'serious', 'critical')),
    CONSTRAINT food_safety_incident_state_known
        CHECK (state IN ('open', 'investigating', 'closed')),
    CONSTRAINT food_safety_incident_reported_at_follows_occurred_at
        CHECK (reported_at >= occurred_at),
    CONSTRAINT food_safety_incident_people_not_negative CHECK (people_affected >= 0),
    CONSTRAINT food_safety_incident_notified_after_event
        CHECK (regulator_notified_at >= occurred_at),
    CONSTRAINT food_safety_incident_closed_has_time
        CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT food_safety_incident_closed_after_report CHECK (closed_at >= reported_at),
    CONSTRAINT food_safety_incident_serious_is_told_or_explained
        CHECK (state <> 'closed' OR severity IN ('minor', 'moderate')
               OR regulator_notified_at IS NOT NULL OR coalesce(root_cause, '') ~ '\S')
);

COMMENT ON TABLE rest.food_safety_incident IS
    'Illness complaint, allergic reaction, foreign object or contamination.';
COMMENT ON COLUMN rest.food_safety_incident.menu_item_id IS 'The dish that is suspected.';
COMMENT ON COLUMN rest.food_safety_incident.root_cause IS
    'Also why a serious incident was not told to the regulator.';

-- FK: the incidents that somebody reported.
CREATE INDEX food_safety_incident_reported_by_staff_idx
    ON rest.food_safety_incident (business_id, reported_by_staff_id)
    WHERE reported_by_staff_id IS NOT NULL;

-- FK: the incidents of a site.
CREATE INDEX food_safety_incident_location_idx
    ON rest.food_safety_incident (business_id, location_id, occurred_at);

-- FK: the incidents of an order.
CREATE INDEX food_safety_incident_guest_order_idx
    ON rest.food_safety_incident (business_id, guest_order_id)
    WHERE guest_order_id IS NOT NULL;

-- FK: the incidents of a guest.
CREATE INDEX food_safety_incident_guest_profile_idx
    ON rest.food_safety_incident (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

-- FK: the incidents of a dish, for clusters.
CREATE INDEX food_safety_incident_menu_item_idx
    ON rest.food_safety_incident (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

ALTER TABLE rest.food_safety_incident ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.food_safety_incident
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.food_safety_incident TO app_user;
GRANT SELECT ON rest.food_safety_incident TO app_readonly;

CREATE TRIGGER food_safety_incident_touch
    BEFORE UPDATE ON rest.food_safety_incident
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER food_safety_incident_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.food_safety_incident
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open", "investigating"],
        "transitions": {
            "open":          ["investigating", "closed"],
            "investigating": ["closed"],
            "closed":        ["investigating"]
        }}');

CREATE FUNCTION rest.check_incident_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    placed rest.guest_order;
BEGIN
    SELECT o.* INTO placed
    FROM rest.guest_order AS o
    WHERE o.business_id = NEW.business_id AND o.guest_order_id = NEW.guest_order_id;
    IF placed.location_id <> NEW.location_id OR placed.opened_at > NEW.occurred_at THEN
        RAISE EXCEPTION 'order % was not served there before the incident', placed.order_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_incident_order() IS
    'The order of an incident was placed at its site, before it happened.';

CREATE TRIGGER food_safety_incident_order
    BEFORE INSERT OR UPDATE OF guest_order_id, location_id, occurred_at
    ON rest.food_safety_incident
    FOR EACH ROW WHEN (NEW.guest_order_id IS NOT NULL)
    EXECUTE FUNCTION rest.check_incident_order();


CREATE TABLE rest.health_inspection (
    business_id          uuid                    NOT NULL,
    health_inspection_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    report_file_id       uuid,
    location_id          uuid                    NOT NULL,
    inspection_number    text                    NOT NULL,
    agency               text                    NOT NULL,
    inspection_kind      text                    NOT NULL,
    inspected_on         date                    NOT NULL,
    inspector_name       system_core.person_name,
    score                numeric(9, 4),
    grade                text,
    result               text                    NOT NULL,
    critical_count       integer                 NOT NULL DEFAULT 0,
    follow_up_due_on     date,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, health_inspection_id),
    UNIQUE (business_id, agency, inspection_number),
    FOREIGN KEY (business_id, report_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT health_inspection_kind_known
        CHECK (inspection_kind IN ('routine', 'follow_up', 'complaint', 'pre_opening',
                                   'third_party')),
    CONSTRAINT health_inspection_result_known
        CHECK (result IN ('pass', 'conditional', 'fail', 'closure')),
    CONSTRAINT health_inspection_score_bounded CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT health_inspection_critical_not_negative CHECK (critical_count >= 0),
    CONSTRAINT health_inspection_follow_up_given
        CHECK (result = 'pass' OR follow_up_due_on IS NOT NULL),
    CONSTRAINT health_inspection_follow_up_after_visit CHECK (follow_up_due_on >= inspected_on)
);

COMMENT ON TABLE rest.health_inspection IS
    'Visit of the health authority or an auditor with score and grade.';
COMMENT ON COLUMN rest.health_inspection.critical_count IS
    'Its violations of category priority, as its rows say.';
COMMENT ON COLUMN rest.health_inspection.follow_up_due_on IS
    'When the inspector comes back at the latest.';

-- FK: the inspection that a report belongs to.
CREATE INDEX health_inspection_report_file_idx
    ON rest.health_inspection (business_id, report_file_id)
    WHERE report_file_id IS NOT NULL;

-- FK and repeats: the inspections of a site in order.
CREATE INDEX health_inspection_location_idx
    ON rest.health_inspection (business_id, location_id, inspected_on);

ALTER TABLE rest.health_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.health_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.health_inspection TO app_user;
GRANT SELECT ON rest.health_inspection TO app_readonly;

CREATE TRIGGER health_inspection_touch
    BEFORE UPDATE ON rest.health_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inspection_violation (
    business_id             uuid        NOT NULL,
    inspection_violation_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    health_inspection_id    uuid        NOT NULL,
    code_reference          text        NOT NULL,
    category                text        NOT NULL,
    description             text,
    points_deducted         integer     NOT NULL DEFAULT 0,
    is_repeat               boolean     NOT NULL DEFAULT false,
    corrected_on_site       boolean     NOT NULL DEFAULT false,
    due_on                  date,
    corrected_on            date,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_violation_id),
    UNIQUE (business_id, health_inspection_id, code_reference),
    FOREIGN KEY (business_id, health_inspection_id)
        REFERENCES rest.health_inspection (business_id, health_inspection_id),
    CONSTRAINT inspection_violation_category_known
        CHECK (category IN ('priority', 'priority_foundation', 'core')),
    CONSTRAINT inspection_violation_corrected_on_given
        CHECK (NOT corrected_on_site OR corrected_on IS NOT NULL),
    CONSTRAINT inspection_violation_is_due
        CHECK (corrected_on_site OR due_on IS NOT NULL),
    CONSTRAINT inspection_violation_points_not_negative CHECK (points_deducted >= 0)
);

COMMENT ON TABLE rest.inspection_violation IS 'A finding of an inspection with its due date.';
COMMENT ON COLUMN rest.inspection_violation.code_reference IS 'The paragraph that was broken.';
COMMENT ON COLUMN rest.inspection_violation.is_repeat IS
    'Whether an earlier inspection of the site by the same agency found the same.';

-- What is still to be corrected, by when.
CREATE INDEX inspection_violation_due_idx
    ON rest.inspection_violation (business_id, due_on)
    WHERE corrected_on IS NULL;

ALTER TABLE rest.inspection_violation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inspection_violation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inspection_violation TO app_user;
GRANT SELECT ON rest.inspection_violation TO app_readonly;

CREATE TRIGGER inspection_violation_touch
    BEFORE UPDATE ON rest.inspection_violation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.check_violation() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    visit rest.health_inspection;
BEGIN
    -- Two violations of a visit take turns, as both count for it.
    SELECT h.* INTO STRICT visit
    FROM rest.health_inspection AS h
    WHERE h.business_id = NEW.business_id AND h.health_inspection_id = NEW.health_inspection_id
    FOR NO KEY UPDATE;
    IF NEW.corrected_on_site THEN
        NEW.corrected_on := coalesce(NEW.corrected_on, visit.inspected_on);
    END IF;
    IF least(NEW.corrected_on, NEW.due_on) < visit.inspected_on
       OR (NEW.corrected_on_site AND NEW.corrected_on <> visit.inspected_on) THEN
        RAISE EXCEPTION 'violation % was found on %, it was not corrected or due then',
                        NEW.code_reference, visit.inspected_on
            USING ERRCODE = 'check_violation',
                  HINT = 'What is corrected on site is corrected on the day of the visit.';
    END IF;
    NEW.is_repeat := NEW.is_repeat OR EXISTS (
        SELECT FROM rest.health_inspection AS h
        JOIN rest.inspection_violation AS v
            ON v.business_id = h.business_id AND v.health_inspection_id = h.health_inspection_id
        WHERE h.business_id = NEW.business_id AND h.location_id = visit.location_id
          AND h.agency = visit.agency AND h.inspected_on < visit.inspected_on
          AND v.code_reference = NEW.code_reference);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_violation() IS
    'A violation is corrected after it was found, and is a repeat where it was found before.';

CREATE TRIGGER inspection_violation_check
    BEFORE INSERT OR UPDATE ON rest.inspection_violation
    FOR EACH ROW EXECUTE FUNCTION rest.check_violation();

CREATE FUNCTION rest.count_critical_violations() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.health_inspection AS h
    SET critical_count = n.found
    FROM (
        SELECT c.business_id, c.health_inspection_id,
               count(v.inspection_violation_id) FILTER (WHERE v.category = 'priority') AS found
        FROM (SELECT DISTINCT x.business_id, x.health_inspection_id FROM changed AS x) AS c
        LEFT JOIN rest.inspection_violation AS v
            ON v.business_id = c.business_id AND v.health_inspection_id = c.health_inspection_id
        GROUP BY c.business_id, c.health_inspection_id
    ) AS n
    WHERE h.business_id = n.business_id AND h.health_inspection_id = n.health_inspection_id
      AND h.critical_count <> n.found;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.count_critical_violations() IS
    'An inspection counts its priority violations.';

CREATE TRIGGER inspection_violation_count_on_insert
    AFTER INSERT ON rest.inspection_violation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.count_critical_violations();

CREATE TRIGGER inspection_violation_count_on_update
    AFTER UPDATE ON rest.inspection_violation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.count_critical_violations();

CREATE TRIGGER inspection_violation_count_on_delete
    AFTER DELETE ON rest.inspection_violation
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.count_critical_violations();
