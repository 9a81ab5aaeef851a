/*
 * Routing: who drives where in which order, what the solver proposed, and where everybody is.
 *
 * An optimization_profile weighs what a good day is; an optimization_run is one call of the solver,
 * with an optimization_assignment per appointment. A route_plan is a technician's day in versions,
 * its stops are route_stop. travel_time_cache keeps drive times between cells of the map,
 * technician_position the breadcrumbs of phones and trucks.
 */

CREATE TABLE hs.optimization_profile (
    business_id             uuid                     NOT NULL,
    optimization_profile_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    profile_code            system_core.code         NOT NULL,
    name                    text                     NOT NULL,
    objective               text                     NOT NULL DEFAULT 'balanced',
    drive_weight            system_core.score        NOT NULL DEFAULT 1,
    lateness_weight         system_core.score        NOT NULL DEFAULT 1,
    overtime_weight         system_core.score        NOT NULL DEFAULT 1,
    revenue_weight          system_core.score        NOT NULL DEFAULT 0,
    skill_match_mode        text                     NOT NULL DEFAULT 'strict',
    max_solve_seconds       integer                  NOT NULL DEFAULT 30,
    max_route_minutes       integer                  NOT NULL DEFAULT 600,
    max_stop_count          integer                  NOT NULL DEFAULT 12,
    allows_window_violation boolean                  NOT NULL DEFAULT false,
    is_default              boolean                  NOT NULL DEFAULT false,
    created_at              timestamptz              NOT NULL DEFAULT now(),
    updated_at              timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, optimization_profile_id),
    UNIQUE (business_id, profile_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT optimization_profile_objective_known
        CHECK (objective IN ('min_drive', 'max_revenue', 'balanced', 'on_time', 'min_overtime')),
    CONSTRAINT optimization_profile_skill_match_known
        CHECK (skill_match_mode IN ('strict', 'allow_higher', 'soft')),
    CONSTRAINT optimization_profile_weights_not_negative
        CHECK (least(drive_weight, lateness_weight, overtime_weight, revenue_weight) >= 0),
    CONSTRAINT optimization_profile_weighs_something
        CHECK (greatest(drive_weight, lateness_weight, overtime_weight, revenue_weight) > 0),
    CONSTRAINT optimization_profile_limits_positive
        CHECK (max_solve_seconds > 0 AND max_route_minutes > 0 AND max_stop_count > 0)
);

COMMENT ON TABLE hs.optimization_profile IS
    'What makes a good day: weights and hard limits that the solver is given.';
COMMENT ON COLUMN hs.optimization_profile.skill_match_mode IS
    'strict: exactly who is asked for; allow_higher: or better; soft: skills are a wish.';

-- One default profile of a tenant.
CREATE UNIQUE INDEX optimization_profile_default_idx
    ON hs.optimization_profile (business_id)
    WHERE is_default;

ALTER TABLE hs.optimization_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.optimization_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.optimization_profile TO app_user;
GRANT SELECT ON hs.optimization_profile TO app_readonly;

CREATE TRIGGER optimization_profile_touch
    BEFORE UPDATE ON hs.optimization_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.optimization_run (
    business_id               uuid                    NOT NULL,
    optimization_run_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    optimization_profile_id   uuid                    NOT NULL,
    service_territory_id      uuid,
    requested_by_user_account_id uuid,
    run_kind                  text                    NOT NULL DEFAULT 'nightly',
    status                    text                    NOT NULL DEFAULT 'queued',
    request_document          system_core.json_object NOT NULL DEFAULT '{}',
    response_document         system_core.json_object,
    solver_version            text,
    solve_ms                  integer,
    total_drive_minutes       integer,
    unassigned_count          integer,
    objective_score           system_core.score,
    horizon_start_at          timestamptz             NOT NULL,
    horizon_end_at            timestamptz             NOT NULL,
    started_at                timestamptz,
    finished_at               timestamptz,
    applied_at                timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, optimization_run_id),
    FOREIGN KEY (business_id, optimization_profile_id)
        REFERENCES hs.optimization_profile (business_id, optimization_profile_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    FOREIGN KEY (business_id, requested_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT optimization_run_kind_known
        CHECK (run_kind IN ('nightly', 'same_day', 'single_resource', 'what_if')),
    CONSTRAINT optimization_run_status_known
        CHECK (status IN ('queued', 'running', 'solved', 'partially_solved', 'failed', 'applied',
                          'discarded')),
    CONSTRAINT optimization_run_horizon_in_order CHECK (horizon_end_at > horizon_start_at),
    CONSTRAINT optimization_run_ends_after_start CHECK (finished_at >= started_at),
    CONSTRAINT optimization_run_applied_has_time
        CHECK ((status = 'applied') = (applied_at IS NOT NULL)),
    CONSTRAINT optimization_run_applied_after_end CHECK (applied_at >= finished_at),
    CONSTRAINT optimization_run_solved_has_answer
        CHECK (status NOT IN ('solved', 'partially_solved', 'applied')
               OR num_nonnulls(response_document, finished_at) = 2),
    CONSTRAINT optimization_run_what_if_is_not_applied
        CHECK (run_kind <> 'what_if' OR status <> 'applied'),
    CONSTRAINT optimization_run_counts_not_negative
        CHECK (solve_ms >= 0 AND total_drive_minutes >= 0 AND unassigned_count >= 0)
);

COMMENT ON TABLE hs.optimization_run IS
    'One call of the solver: the problem sent, the solution received, applied or not.';
COMMENT ON COLUMN hs.optimization_run.request_document IS
    '{"jobs", "vehicles", "windows"}: appointments, technicians with skills and breaks.';
COMMENT ON COLUMN hs.optimization_run.response_document IS
    '{"routes": [{"technician_id", "steps": [{"appointment_id", "arrival", "duration", "drive"}]}],
     "unassigned": [{"appointment_id", "reason"}]}, read by read_solution().';

-- FK: the runs under a profile, the newest first.
CREATE INDEX optimization_run_profile_idx
    ON hs.optimization_run (business_id, optimization_profile_id, horizon_start_at DESC);

-- FK: the runs over a zone.
CREATE INDEX optimization_run_territory_idx
    ON hs.optimization_run (business_id, service_territory_id)
    WHERE service_territory_id IS NOT NULL;

-- FK: what an account asked for.
CREATE INDEX optimization_run_requester_idx
    ON hs.optimization_run (business_id, requested_by_user_account_id)
    WHERE requested_by_user_account_id IS NOT NULL;

ALTER TABLE hs.optimization_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.optimization_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.optimization_run TO app_user;
GRANT SELECT ON hs.optimization_run TO app_readonly;

CREATE TRIGGER optimization_run_touch
    BEFORE UPDATE ON hs.optimization_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER optimization_run_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.optimization_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["queued"],
        "transitions": {
            "queued":           ["running", "discarded"],
            "running":          ["solved", "partially_solved", "failed"],
            "solved":           ["applied", "discarded"],
            "partially_solved": ["applied", "discarded"],
            "failed":           ["queued", "discarded"],
            "applied":          [],
            "discarded":        []
        }}');


CREATE TABLE hs.optimization_assignment (
    business_id                uuid        NOT NULL,
    optimization_assignment_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    optimization_run_id        uuid        NOT NULL,
    appointment_id             uuid        NOT NULL,
    technician_id              uuid,
    outcome                    text        NOT NULL,
    proposed_start_at          timestamptz,
    proposed_end_at            timestamptz,
    stop_seq                   integer,
    drive_minutes              integer,
    waiting_minutes            integer     NOT NULL DEFAULT 0,
    violation_kind             text        NOT NULL DEFAULT 'none',
    violation_minutes          integer     NOT NULL DEFAULT 0,
    unassigned_reason          text,
    decision                   text        NOT NULL DEFAULT 'pending',
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, optimization_assignment_id),
    UNIQUE (business_id, optimization_run_id, appointment_id),
    FOREIGN KEY (business_id, optimization_run_id)
        REFERENCES hs.optimization_run (business_id, optimization_run_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES hs.appointment (business_id, appointment_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT optimization_assignment_outcome_known
        CHECK (outcome IN ('assigned', 'unassigned', 'unchanged')),
    CONSTRAINT optimization_assignment_violation_known
        CHECK (violation_kind IN ('none', 'late', 'early', 'skill', 'overtime', 'territory')),
    CONSTRAINT optimization_assignment_reason_known
        CHECK (unassigned_reason IN ('no_skill', 'no_capacity', 'window_closed',
                                     'outside_territory', 'locked')),
    CONSTRAINT optimization_assignment_decision_known
        CHECK (decision IN ('pending', 'accepted', 'rejected')),
    CONSTRAINT optimization_assignment_unassigned_has_nobody
        CHECK ((outcome = 'unassigned') = (technician_id IS NULL)),
    CONSTRAINT optimization_assignment_unassigned_has_reason
        CHECK ((outcome = 'unassigned') = (unassigned_reason IS NOT NULL)),
    CONSTRAINT optimization_assignment_assigned_has_time
        CHECK (outcome <> 'assigned' OR num_nonnulls(proposed_start_at, proposed_end_at) = 2),
    CONSTRAINT optimization_assignment_ends_after_start
        CHECK (proposed_end_at > proposed_start_at),
    CONSTRAINT optimization_assignment_minutes_not_negative
        CHECK (drive_minutes >= 0 AND waiting_minutes >= 0 AND violation_minutes >= 0),
    CONSTRAINT optimization_assignment_violation_has_minutes
        CHECK (violation_kind <> 'none' OR violation_minutes = 0)
);

COMMENT ON TABLE hs.optimization_assignment IS
    'What a run proposes for an appointment, or why it has no place for it.';

-- FK: what was proposed for an appointment.
CREATE INDEX optimization_assignment_appointment_idx
    ON hs.optimization_assignment (business_id, appointment_id);

-- FK: what was proposed to a technician.
CREATE INDEX optimization_assignment_technician_idx
    ON hs.optimization_assignment (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE hs.optimization_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.optimization_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.optimization_assignment TO app_user;
GRANT SELECT ON hs.optimization_assignment TO app_readonly;

CREATE TRIGGER optimization_assignment_touch
    BEFORE UPDATE ON hs.optimization_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.route_plan (
    business_id             uuid                  NOT NULL,
    route_plan_id           uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id           uuid                  NOT NULL,
    truck_id                uuid,
    optimization_run_id     uuid,
    route_on                date                  NOT NULL,
    version_no              integer               NOT NULL DEFAULT 1,
    status                  text                  NOT NULL DEFAULT 'draft',
    start_latitude          system_core.latitude,
    start_longitude         system_core.longitude,
    end_latitude            system_core.latitude,
    end_longitude           system_core.longitude,
    planned_start_at        timestamptz           NOT NULL,
    planned_end_at          timestamptz           NOT NULL,
    planned_drive_minutes   integer               NOT NULL DEFAULT 0,
    planned_service_minutes integer               NOT NULL DEFAULT 0,
    planned_distance_km     system_core.quantity  NOT NULL DEFAULT 0,
    actual_distance_km      system_core.quantity,
    overtime_minutes        integer               NOT NULL DEFAULT 0,
    geometry_polyline       text,
    created_at              timestamptz           NOT NULL DEFAULT now(),
    updated_at              timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, route_plan_id),
    UNIQUE (business_id, technician_id, route_on, version_no),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    FOREIGN KEY (business_id, optimization_run_id)
        REFERENCES hs.optimization_run (business_id, optimization_run_id),
    CONSTRAINT route_plan_status_known
        CHECK (status IN ('draft', 'published', 'in_progress', 'completed', 'superseded')),
    CONSTRAINT route_plan_version_positive CHECK (version_no > 0),
    CONSTRAINT route_plan_ends_after_start CHECK (planned_end_at > planned_start_at),
    CONSTRAINT route_plan_figures_not_negative
        CHECK (planned_drive_minutes >= 0 AND planned_service_minutes >= 0
               AND planned_distance_km >= 0 AND actual_distance_km >= 0
               AND overtime_minutes >= 0)
);

COMMENT ON TABLE hs.route_plan IS
    'The ordered day of a technician; planning anew makes another version.';
COMMENT ON COLUMN hs.route_plan.geometry_polyline IS 'Encoded polyline of the map service.';

-- One version of a day is what the technician drives; also finds it.
CREATE UNIQUE INDEX route_plan_live_idx
    ON hs.route_plan (business_id, technician_id, route_on)
    WHERE status IN ('published', 'in_progress');

-- FK: the days of a truck.
CREATE INDEX route_plan_truck_idx
    ON hs.route_plan (business_id, truck_id, route_on)
    WHERE truck_id IS NOT NULL;

-- FK: the routes that a run made.
CREATE INDEX route_plan_run_idx
    ON hs.route_plan (business_id, optimization_run_id)
    WHERE optimization_run_id IS NOT NULL;

ALTER TABLE hs.route_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.route_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.route_plan TO app_user;
GRANT SELECT ON hs.route_plan TO app_readonly;

CREATE TRIGGER route_plan_touch
    BEFORE UPDATE ON hs.route_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER route_plan_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.route_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "published"],
        "transitions": {
            "draft":       ["published", "superseded"],
            "published":   ["in_progress", "superseded"],
            "in_progress": ["completed", "superseded"],
            "completed":   [],
            "superseded":  []
        }}');


CREATE TABLE hs.route_stop (
    business_id           uuid                  NOT NULL,
    route_stop_id         uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    route_plan_id         uuid                  NOT NULL,
    appointment_id        uuid,
    stop_seq              integer               NOT NULL,
    stop_kind             text                  NOT NULL DEFAULT 'job',
    latitude              system_core.latitude,
    longitude             system_core.longitude,
    planned_arrival_at    timestamptz           NOT NULL,
    planned_departure_at  timestamptz           NOT NULL,
    actual_arrival_at     timestamptz,
    actual_departure_at   timestamptz,
    inbound_drive_minutes integer               NOT NULL DEFAULT 0,
    inbound_distance_km   system_core.quantity  NOT NULL DEFAULT 0,
    waiting_minutes       integer               NOT NULL DEFAULT 0,
    slack_minutes         integer               NOT NULL DEFAULT 0,
    status                text                  NOT NULL DEFAULT 'planned',
    created_at            timestamptz           NOT NULL DEFAULT now(),
    updated_at            timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, route_stop_id),
    UNIQUE (business_id, route_plan_id, stop_seq),
    FOREIGN KEY (business_id, route_plan_id)
        REFERENCES hs.route_plan (business_id, route_plan_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES hs.appointment (business_id, appointment_id),
    CONSTRAINT route_stop_kind_known
        CHECK (stop_kind IN ('start', 'job', 'break', 'parts_pickup', 'fuel', 'end')),
    CONSTRAINT route_stop_status_known CHECK (status IN ('planned', 'skipped', 'arrived', 'done')),
    CONSTRAINT route_stop_seq_positive CHECK (stop_seq > 0),
    CONSTRAINT route_stop_job_has_appointment
        CHECK ((stop_kind = 'job') = (appointment_id IS NOT NULL)),
    CONSTRAINT route_stop_leaves_after_arriving
        CHECK (planned_departure_at >= planned_arrival_at),
    CONSTRAINT route_stop_left_after_arrival CHECK (actual_departure_at >= actual_arrival_at),
    CONSTRAINT route_stop_arrived_has_time
        CHECK (status NOT IN ('arrived', 'done') OR actual_arrival_at IS NOT NULL),
    CONSTRAINT route_stop_done_has_time
        CHECK ((status = 'done') = (actual_departure_at IS NOT NULL)),
    CONSTRAINT route_stop_figures_not_negative
        CHECK (inbound_drive_minutes >= 0 AND inbound_distance_km >= 0 AND waiting_minutes >= 0)
);

COMMENT ON TABLE hs.route_stop IS 'A stop of a day: a job, a break, a pick-up of parts.';
COMMENT ON COLUMN hs.route_stop.slack_minutes IS
    'What it may be late without the next window being missed; negative is late already.';

-- FK: the stops at an appointment.
CREATE INDEX route_stop_appointment_idx
    ON hs.route_stop (business_id, appointment_id)
    WHERE appointment_id IS NOT NULL;

ALTER TABLE hs.route_stop ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.route_stop
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.route_stop TO app_user;
GRANT SELECT ON hs.route_stop TO app_readonly;

CREATE TRIGGER route_stop_touch
    BEFORE UPDATE ON hs.route_stop
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER route_stop_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.route_stop
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned"],
        "transitions": {
            "planned": ["arrived", "skipped"],
            "arrived": ["done"],
            "skipped": ["planned"],
            "done":    []
        }}');


CREATE TABLE hs.travel_time_cache (
    business_id          uuid                 NOT NULL,
    travel_time_cache_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    origin_cell          text                 NOT NULL,
    destination_cell     text                 NOT NULL,
    departure_bucket     text                 NOT NULL,
    travel_minutes       integer              NOT NULL,
    distance_km          system_core.quantity NOT NULL,
    provider_code        text                 NOT NULL DEFAULT 'haversine',
    sample_count         integer              NOT NULL DEFAULT 1,
    computed_at          timestamptz          NOT NULL DEFAULT now(),
    expires_at           timestamptz          NOT NULL,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, travel_time_cache_id),
    UNIQUE (business_id, origin_cell, destination_cell, departure_bucket),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT travel_time_cache_bucket_known
        CHECK (departure_bucket IN ('overnight', 'am_peak', 'midday', 'pm_peak', 'evening')),
    CONSTRAINT travel_time_cache_figures_not_negative
        CHECK (travel_minutes >= 0 AND distance_km >= 0),
    CONSTRAINT travel_time_cache_samples_positive CHECK (sample_count > 0),
    CONSTRAINT travel_time_cache_expires_after_computing CHECK (expires_at > computed_at)
);

COMMENT ON TABLE hs.travel_time_cache IS
    'Drive time between two cells of the map by time of day: the paid service is asked once.';
COMMENT ON COLUMN hs.travel_time_cache.origin_cell IS 'See map_cell(): about a kilometer wide.';

ALTER TABLE hs.travel_time_cache ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.travel_time_cache
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.travel_time_cache TO app_user;
GRANT SELECT ON hs.travel_time_cache TO app_readonly;

CREATE TRIGGER travel_time_cache_touch
    BEFORE UPDATE ON hs.travel_time_cache
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.technician_position (
    business_id            uuid                  NOT NULL,
    technician_position_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id          uuid                  NOT NULL,
    truck_id               uuid,
    latitude               system_core.latitude  NOT NULL,
    longitude              system_core.longitude NOT NULL,
    accuracy_m             system_core.quantity,
    speed_kph              system_core.quantity,
    heading_deg            system_core.quantity,
    battery_pct            system_core.percentage,
    source                 text                  NOT NULL DEFAULT 'phone',
    is_moving              boolean               NOT NULL DEFAULT false,
    geofence_transition    text                  NOT NULL DEFAULT 'none',
    recorded_at            timestamptz           NOT NULL DEFAULT now(),
    created_at             timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_position_id, recorded_at),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    CONSTRAINT technician_position_source_known
        CHECK (source IN ('phone', 'telematics', 'manual')),
    CONSTRAINT technician_position_geofence_known
        CHECK (geofence_transition IN ('none', 'arrived_stop', 'left_stop', 'arrived_branch',
                                       'left_branch')),
    CONSTRAINT technician_position_speed_plausible CHECK (speed_kph BETWEEN 0 AND 250),
    CONSTRAINT technician_position_heading_on_compass
        CHECK (heading_deg >= 0 AND heading_deg < 360),
    CONSTRAINT technician_position_battery_bounded CHECK (battery_pct BETWEEN 0 AND 100)
) PARTITION BY RANGE (recorded_at);

COMMENT ON TABLE hs.technician_position IS
    'A breadcrumb of a phone or truck: feeds arrival times and mileage; append only.';

-- FK: the way of a technician, the newest crumb first.
CREATE INDEX technician_position_technician_idx
    ON hs.technician_position (business_id, technician_id, recorded_at DESC);

-- FK: the way of a truck.
CREATE INDEX technician_position_truck_idx
    ON hs.technician_position (business_id, truck_id, recorded_at DESC)
    WHERE truck_id IS NOT NULL;

ALTER TABLE hs.technician_position ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_position
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.technician_position TO app_user;
GRANT SELECT ON hs.technician_position TO app_readonly;

CREATE TRIGGER technician_position_append_only
    BEFORE UPDATE OR DELETE ON hs.technician_position
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.technician_position');

CREATE TABLE hs.technician_position_default PARTITION OF hs.technician_position DEFAULT;
ALTER TABLE hs.technician_position_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_position_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.technician_position', 'month', behind => 3, ahead => 1);


CREATE FUNCTION hs.map_cell(at_latitude double precision, at_longitude double precision)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_char(floor(at_latitude * 100), 'SG00000') || to_char(floor(at_longitude * 100),
                                                                    'SG00000');
COMMENT ON FUNCTION hs.map_cell(double precision, double precision) IS
    'The cell of the map that a place lies in: a hundredth of a degree each way.';


CREATE FUNCTION hs.drive_minutes(
    from_latitude double precision, from_longitude double precision,
    to_latitude double precision, to_longitude double precision,
    leaving_at timestamptz, in_zone text DEFAULT 'UTC'
) RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN coalesce(
        (SELECT c.travel_minutes
         FROM hs.travel_time_cache AS c
         WHERE c.business_id = tenant_mgmt.current_business_id()
           AND c.origin_cell = hs.map_cell(from_latitude, from_longitude)
           AND c.destination_cell = hs.map_cell(to_latitude, to_longitude)
           AND c.departure_bucket = CASE
                   WHEN extract(hour FROM leaving_at AT TIME ZONE in_zone) < 6  THEN 'overnight'
                   WHEN extract(hour FROM leaving_at AT TIME ZONE in_zone) < 10 THEN 'am_peak'
                   WHEN extract(hour FROM leaving_at AT TIME ZONE in_zone) < 15 THEN 'midday'
                   WHEN extract(hour FROM leaving_at AT TIME ZONE in_zone) < 19 THEN 'pm_peak'
                   WHEN extract(hour FROM leaving_at AT TIME ZONE in_zone) < 22 THEN 'evening'
                   ELSE 'overnight' END
           AND c.expires_at > leaving_at),
        ceil(system_core.distance_km(from_latitude, from_longitude, to_latitude, to_longitude)
             / 35 * 60)::integer);
END
$$;
COMMENT ON FUNCTION hs.drive_minutes(
    double precision, double precision, double precision, double precision, timestamptz, text) IS
    'Minutes from one place to another: what the tenant''s cache knows for the time of day in the
     zone, else the straight line at 35 km/h. NULL where a place is not known.';


CREATE FUNCTION hs.read_solution(of_run uuid) RETURNS TABLE (
    appointment_id uuid, technician_id uuid, stop_seq integer, arrival_at timestamptz,
    service_minutes integer, drive_minutes integer, reason text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.appointment_id, s.technician_id, s.stop_seq, s.arrival_at, s.service_minutes,
           s.drive_minutes, NULL::text
    FROM hs.optimization_run AS r
    CROSS JOIN JSON_TABLE(r.response_document::jsonb, '$.routes[*]' COLUMNS (
        technician_id uuid PATH '$.technician_id',
        NESTED PATH '$.steps[*]' COLUMNS (
            stop_seq        FOR ORDINALITY,
            appointment_id  uuid        PATH '$.appointment_id',
            arrival_at      timestamptz PATH '$.arrival',
            service_minutes integer     PATH '$.duration',
            drive_minutes   integer     PATH '$.drive' DEFAULT 0 ON EMPTY
        )
    )) AS s
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.optimization_run_id = of_run
      AND s.appointment_id IS NOT NULL
    UNION ALL
    SELECT u.appointment_id, NULL, NULL, NULL, NULL, NULL, u.reason
    FROM hs.optimization_run AS r
    CROSS JOIN JSON_TABLE(r.response_document::jsonb, '$.unassigned[*]' COLUMNS (
        appointment_id uuid PATH '$.appointment_id',
        reason         text PATH '$.reason' DEFAULT 'no_capacity' ON EMPTY
    )) AS u
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.optimization_run_id = of_run;
END;
COMMENT ON FUNCTION hs.read_solution(uuid) IS
    'The solution that a run of the tenant received, a row per appointment: by whom, when and in
     which order, or why not.';


CREATE FUNCTION hs.receive_solution(of_run uuid, solution jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    proposed integer;
BEGIN
    UPDATE hs.optimization_run AS r
    SET response_document = solution, finished_at = greatest(now(), r.started_at),
        status = CASE WHEN solution -> 'unassigned' <> '[]' THEN 'partially_solved'
                      ELSE 'solved' END
    WHERE r.business_id = tenant AND r.optimization_run_id = of_run AND r.status = 'running';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not waiting for a solution', of_run
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO hs.optimization_assignment (
        business_id, optimization_run_id, appointment_id, technician_id, outcome,
        proposed_start_at, proposed_end_at, stop_seq, drive_minutes, unassigned_reason)
    SELECT tenant, of_run, s.appointment_id, s.technician_id,
           CASE WHEN s.technician_id IS NULL THEN 'unassigned' ELSE 'assigned' END,
           s.arrival_at, s.arrival_at + s.service_minutes * interval '1 minute', s.stop_seq,
           s.drive_minutes, s.reason
    FROM hs.read_solution(of_run) AS s;
    GET DIAGNOSTICS proposed = ROW_COUNT;
    UPDATE hs.optimization_run AS r
    SET unassigned_count = s.unassigned, total_drive_minutes = s.drive
    FROM (SELECT count(*) FILTER (WHERE a.outcome = 'unassigned') AS unassigned,
                 coalesce(sum(a.drive_minutes), 0) AS drive
          FROM hs.optimization_assignment AS a
          WHERE a.business_id = tenant AND a.optimization_run_id = of_run) AS s
    WHERE r.business_id = tenant AND r.optimization_run_id = of_run;
    RETURN proposed;
END
$$;
COMMENT ON FUNCTION hs.receive_solution(uuid, jsonb) IS
    'Takes the solver''s answer to a running run of the tenant: an assignment per appointment, and
     the figures of the run. Returns how many.';


CREATE FUNCTION hs.apply_optimization_run(of_run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
BEGIN
    UPDATE hs.optimization_run AS r
    SET status = 'applied', applied_at = greatest(now(), r.finished_at)
    WHERE r.business_id = tenant AND r.optimization_run_id = of_run
      AND r.status IN ('solved', 'partially_solved');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % has no solution to apply', of_run
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE hs.optimization_assignment AS a
    SET decision = 'accepted'
    WHERE a.business_id = tenant AND a.optimization_run_id = of_run
      AND a.decision = 'pending' AND a.outcome = 'assigned';

    UPDATE hs.appointment AS p
    SET scheduled_start_at = a.proposed_start_at, scheduled_end_at = a.proposed_end_at
    FROM hs.optimization_assignment AS a
    WHERE p.business_id = tenant AND a.business_id = tenant
      AND a.optimization_run_id = of_run AND a.appointment_id = p.appointment_id
      AND a.decision = 'accepted'
      AND (p.scheduled_start_at, p.scheduled_end_at)
          IS DISTINCT FROM (a.proposed_start_at, a.proposed_end_at);
    GET DIAGNOSTICS moved = ROW_COUNT;

    -- A new version of each day that the run touches; the one before it is history.
    UPDATE hs.route_plan AS o
    SET status = 'superseded'
    WHERE o.business_id = tenant AND o.status IN ('draft', 'published')
      AND (o.technician_id, o.route_on) IN (
          SELECT a.technician_id, a.proposed_start_at::date
          FROM hs.optimization_assignment AS a
          WHERE a.business_id = tenant AND a.optimization_run_id = of_run
            AND a.decision = 'accepted');
    INSERT INTO hs.route_plan (
        business_id, technician_id, optimization_run_id, route_on, version_no, status,
        planned_start_at, planned_end_at, planned_drive_minutes, planned_service_minutes)
    SELECT tenant, d.technician_id, of_run, d.route_on,
           1 + coalesce((SELECT max(v.version_no) FROM hs.route_plan AS v
                         WHERE v.business_id = tenant AND v.technician_id = d.technician_id
                           AND v.route_on = d.route_on), 0),
           'published', d.starts_at, d.ends_at, d.drive, d.service
    FROM (
        SELECT a.technician_id, a.proposed_start_at::date AS route_on,
               min(a.proposed_start_at) - max(a.drive_minutes) * interval '1 minute' AS starts_at,
               max(a.proposed_end_at) AS ends_at, sum(a.drive_minutes) AS drive,
               sum(extract(epoch FROM a.proposed_end_at - a.proposed_start_at))::integer / 60
                   AS service
        FROM hs.optimization_assignment AS a
        WHERE a.business_id = tenant AND a.optimization_run_id = of_run
          AND a.decision = 'accepted'
        GROUP BY a.technician_id, a.proposed_start_at::date
    ) AS d
    WHERE NOT EXISTS (
        SELECT FROM hs.route_plan AS busy
        WHERE busy.business_id = tenant AND busy.technician_id = d.technician_id
          AND busy.route_on = d.route_on AND busy.status = 'in_progress');
    INSERT INTO hs.route_stop (
        business_id, route_plan_id, appointment_id, stop_seq, planned_arrival_at,
        planned_departure_at, inbound_drive_minutes)
    SELECT tenant, p.route_plan_id, a.appointment_id,
           row_number() OVER (PARTITION BY p.route_plan_id ORDER BY a.proposed_start_at),
           a.proposed_start_at, a.proposed_end_at, coalesce(a.drive_minutes, 0)
    FROM hs.optimization_assignment AS a
    JOIN hs.route_plan AS p
        ON p.business_id = tenant AND p.optimization_run_id = of_run
       AND p.technician_id = a.technician_id AND p.route_on = a.proposed_start_at::date
    WHERE a.business_id = tenant AND a.optimization_run_id = of_run AND a.decision = 'accepted';
    RETURN moved;
END
$$;
COMMENT ON FUNCTION hs.apply_optimization_run(uuid) IS
    'Applies a solved run of the tenant: appointments move to their proposed times, each day gets
     a new published route and the one before is superseded; a day that has begun is left alone.
     Returns how many appointments moved.';


CREATE VIEW hs.v_technician_day_route WITH (security_invoker = true) AS
SELECT p.business_id, p.route_plan_id, p.technician_id, p.route_on, p.version_no,
       s.stop_seq, s.stop_kind, s.status, s.appointment_id, a.appointment_number,
       a.window_start_at, a.window_end_at, s.planned_arrival_at, s.planned_departure_at,
       s.actual_arrival_at, s.actual_departure_at, s.inbound_drive_minutes,
       s.actual_arrival_at > a.window_end_at AS is_late, w.work_order_number, w.summary,
       l.address_line, l.city, l.postal_code, l.gate_code, l.access_instructions,
       c.display_name AS customer_name, c.primary_phone AS customer_phone
FROM hs.route_plan AS p
JOIN hs.route_stop AS s
    ON s.business_id = p.business_id AND s.route_plan_id = p.route_plan_id
LEFT JOIN hs.appointment AS a
    ON a.business_id = s.business_id AND a.appointment_id = s.appointment_id
LEFT JOIN hs.work_order AS w
    ON w.business_id = s.business_id AND w.work_order_id = a.work_order_id
LEFT JOIN hs.service_location AS l
    ON l.business_id = s.business_id AND l.service_location_id = w.service_location_id
LEFT JOIN hs.customer AS c
    ON c.business_id = s.business_id AND c.customer_id = w.customer_id
WHERE p.status IN ('published', 'in_progress', 'completed');
COMMENT ON VIEW hs.v_technician_day_route IS
    'A technician''s day as it is driven: stops in order, planned against actual, whom to call.';
GRANT SELECT ON hs.v_technician_day_route TO app_user, app_readonly;
