/*
 * Labor: what work is called, how long it takes, and how it is sold.
 *
 * A labor_operation is a line of the labor guide; labor_time is its book hours on a build by
 * source, labor_overlap what two operations share. A canned_job is a package of lines sold as one;
 * maintenance_interval says when a build needs which. fleet_price_agreement is what a fleet pays
 * instead.
 */

CREATE TABLE auto.labor_operation (
    business_id              uuid             NOT NULL,
    labor_operation_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    part_type_id             uuid,
    operation_code           system_core.code NOT NULL,
    name                     text             NOT NULL,
    action                   text             NOT NULL,
    system_group             text,
    work_kind                text             NOT NULL,
    skill_level              text             NOT NULL DEFAULT 'general',
    required_ase_code        system_core.code,
    requires_hv_certificate  boolean          NOT NULL DEFAULT false,
    requires_609_certificate boolean          NOT NULL DEFAULT false,
    customer_description     text,
    is_active                boolean          NOT NULL DEFAULT true,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_operation_id),
    UNIQUE (business_id, operation_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT labor_operation_action_known
        CHECK (action IN ('remove_replace', 'remove_install', 'overhaul', 'adjust', 'diagnose',
                          'inspect', 'reset', 'calibrate', 'flush', 'align', 'refinish', 'repair')),
    CONSTRAINT labor_operation_work_known
        CHECK (work_kind IN ('mechanical', 'diagnostic', 'electrical', 'ev_high_voltage', 'body',
                             'refinish', 'frame', 'glass', 'aluminum', 'calibration', 'detail')),
    CONSTRAINT labor_operation_skill_known
        CHECK (skill_level IN ('lube', 'general', 'advanced', 'master')),
    CONSTRAINT labor_operation_high_voltage_is_certified
        CHECK (work_kind <> 'ev_high_voltage' OR requires_hv_certificate),
    CONSTRAINT labor_operation_ase_shape
        CHECK (required_ase_code ~ '^(A|B|C|E|F|G|H|L|P|S|T|X)[0-9]$')
);

COMMENT ON TABLE auto.labor_operation IS
    'Named operation of the labor guide with skill and payer codes.';

-- FK: the work on a part.
CREATE INDEX labor_operation_part_type_idx
    ON auto.labor_operation (business_id, part_type_id)
    WHERE part_type_id IS NOT NULL;

ALTER TABLE auto.labor_operation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_operation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_operation TO app_user;
GRANT SELECT ON auto.labor_operation TO app_readonly;

CREATE TRIGGER labor_operation_touch
    BEFORE UPDATE ON auto.labor_operation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.labor_time (
    business_id              uuid           NOT NULL,
    labor_time_id            uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    labor_operation_id       uuid           NOT NULL,
    vehicle_configuration_id uuid           NOT NULL,
    time_source              text           NOT NULL,
    book_hours               numeric(10, 2) NOT NULL,
    warranty_hours           numeric(10, 2),
    severe_service_hours     numeric(10, 2),
    additional_item_hours    numeric(10, 2),
    notes_text               text,
    revision_on              date           NOT NULL DEFAULT current_date,
    actual_median_hours      numeric(10, 2),
    sample_count             integer        NOT NULL DEFAULT 0,
    created_at               timestamptz    NOT NULL DEFAULT now(),
    updated_at               timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_time_id),
    UNIQUE (business_id, labor_operation_id, vehicle_configuration_id, time_source),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    CONSTRAINT labor_time_source_known
        CHECK (time_source IN ('oem_warranty', 'guide_a', 'guide_b', 'shop_history', 'fleet')),
    CONSTRAINT labor_time_book_bounded CHECK (book_hours > 0 AND book_hours <= 120),
    CONSTRAINT labor_time_warranty_within_book CHECK (warranty_hours BETWEEN 0 AND book_hours),
    CONSTRAINT labor_time_severe_takes_longer CHECK (severe_service_hours >= book_hours),
    CONSTRAINT labor_time_history_has_samples
        CHECK (actual_median_hours IS NULL OR sample_count > 0)
);

COMMENT ON TABLE auto.labor_time IS
    'Book hours of an operation on a build by source: retail, warranty or severe service.';

-- FK: the book times of a build.
CREATE INDEX labor_time_vehicle_configuration_idx
    ON auto.labor_time (business_id, vehicle_configuration_id);

ALTER TABLE auto.labor_time ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_time
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_time TO app_user;
GRANT SELECT ON auto.labor_time TO app_readonly;

CREATE TRIGGER labor_time_touch
    BEFORE UPDATE ON auto.labor_time
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.labor_overlap (
    business_id                    uuid                    NOT NULL,
    labor_overlap_id               uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    primary_labor_operation_id     uuid                    NOT NULL,
    overlapping_labor_operation_id uuid                    NOT NULL,
    vehicle_configuration_id       uuid,
    overlap_kind                   text                    NOT NULL,
    deduct_hours                   numeric(10, 2),
    max_deduct_pct                 system_core.percentage,
    applies_when                   system_core.json_object NOT NULL DEFAULT '{}',
    source                         text                    NOT NULL DEFAULT 'guide',
    effective_on                   date                    NOT NULL DEFAULT current_date,
    note_text                      text,
    created_at                     timestamptz             NOT NULL DEFAULT now(),
    updated_at                     timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_overlap_id),
    UNIQUE NULLS NOT DISTINCT (business_id, primary_labor_operation_id,
            overlapping_labor_operation_id, vehicle_configuration_id),
    FOREIGN KEY (business_id, primary_labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, overlapping_labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    CONSTRAINT labor_overlap_kind_known
        CHECK (overlap_kind IN ('included', 'deduct', 'alternative', 'conflict')),
    CONSTRAINT labor_overlap_source_known CHECK (source IN ('guide', 'oem', 'shop')),
    CONSTRAINT labor_overlap_of_two
        CHECK (primary_labor_operation_id <> overlapping_labor_operation_id),
    CONSTRAINT labor_overlap_deducts_hours
        CHECK ((deduct_hours IS NOT NULL) = (overlap_kind = 'deduct')),
    CONSTRAINT labor_overlap_bounded
        CHECK (deduct_hours > 0 AND max_deduct_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE auto.labor_overlap IS
    'Hours saved when two operations are done together, or steps included in another.';

-- FK: what an operation saves.
CREATE INDEX labor_overlap_overlapping_labor_operation_idx
    ON auto.labor_overlap (business_id, overlapping_labor_operation_id);

-- FK: the overlaps of a build.
CREATE INDEX labor_overlap_vehicle_configuration_idx
    ON auto.labor_overlap (business_id, vehicle_configuration_id)
    WHERE vehicle_configuration_id IS NOT NULL;

ALTER TABLE auto.labor_overlap ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_overlap
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_overlap TO app_user;
GRANT SELECT ON auto.labor_overlap TO app_readonly;

CREATE TRIGGER labor_overlap_touch
    BEFORE UPDATE ON auto.labor_overlap
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.canned_job (
    business_id          uuid              NOT NULL,
    canned_job_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id              uuid,
    labor_rate_id        uuid,
    job_code             system_core.code  NOT NULL,
    name                 text              NOT NULL,
    customer_description text,
    job_group            text              NOT NULL,
    price_mode           text              NOT NULL DEFAULT 'sum_of_lines',
    fixed_price          system_core.money,
    default_hours        numeric(10, 2)    NOT NULL DEFAULT 1,
    warranty_months      integer,
    warranty_distance    integer,
    is_online_bookable   boolean           NOT NULL DEFAULT false,
    duration_minutes     integer,
    season               text              NOT NULL DEFAULT 'any',
    usage_count          integer           NOT NULL DEFAULT 0,
    is_active            boolean           NOT NULL DEFAULT true,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, canned_job_id),
    UNIQUE (business_id, job_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, labor_rate_id)
        REFERENCES auto.labor_rate (business_id, labor_rate_id),
    CONSTRAINT canned_job_group_known
        CHECK (job_group IN ('maintenance', 'brakes', 'tires', 'diagnostics', 'engine', 'hvac',
                             'electrical', 'alignment', 'inspection', 'ev', 'adas')),
    CONSTRAINT canned_job_price_mode_known
        CHECK (price_mode IN ('sum_of_lines', 'fixed_total', 'fixed_labor')),
    CONSTRAINT canned_job_season_known CHECK (season IN ('any', 'winter', 'summer')),
    CONSTRAINT canned_job_bookable_has_duration
        CHECK (NOT is_online_bookable OR duration_minutes IS NOT NULL),
    CONSTRAINT canned_job_fixed_has_price
        CHECK ((fixed_price IS NOT NULL) = (price_mode <> 'sum_of_lines')),
    CONSTRAINT canned_job_amounts_not_negative
        CHECK (fixed_price >= 0 AND default_hours >= 0 AND warranty_months >= 0
               AND warranty_distance >= 0 AND usage_count >= 0 AND duration_minutes > 0)
);

COMMENT ON TABLE auto.canned_job IS
    'Packaged service sold at one price: oil change, brake axle, timing belt kit.';

-- FK: the packages of a shop.
CREATE INDEX canned_job_shop_idx
    ON auto.canned_job (business_id, shop_id)
    WHERE shop_id IS NOT NULL;

-- FK: the packages at a rate.
CREATE INDEX canned_job_labor_rate_idx
    ON auto.canned_job (business_id, labor_rate_id)
    WHERE labor_rate_id IS NOT NULL;

ALTER TABLE auto.canned_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.canned_job
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.canned_job TO app_user;
GRANT SELECT ON auto.canned_job TO app_readonly;

CREATE TRIGGER canned_job_touch
    BEFORE UPDATE ON auto.canned_job
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.canned_job_line (
    business_id        uuid                   NOT NULL,
    canned_job_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    canned_job_id      uuid                   NOT NULL,
    labor_operation_id uuid,
    part_id            uuid,
    part_type_id       uuid,
    line_seq           integer                NOT NULL,
    line_kind          text                   NOT NULL,
    default_qty        system_core.quantity   NOT NULL DEFAULT 1,
    qty_rule           text                   NOT NULL DEFAULT 'fixed',
    default_hours      numeric(10, 2),
    unit_price         system_core.unit_price,
    is_optional        boolean                NOT NULL DEFAULT false,
    discount_pct       system_core.percentage NOT NULL DEFAULT 0,
    note_text          text,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, canned_job_line_id),
    UNIQUE (business_id, canned_job_id, line_seq),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT canned_job_line_kind_known
        CHECK (line_kind IN ('labor', 'part', 'part_type', 'sublet', 'fee')),
    CONSTRAINT canned_job_line_qty_rule_known
        CHECK (qty_rule IN ('fixed', 'oil_capacity', 'coolant_capacity', 'per_axle',
                            'per_cylinder', 'per_wheel')),
    CONSTRAINT canned_job_line_quantity_positive CHECK (default_qty > 0),
    CONSTRAINT canned_job_line_names_its_kind
        CHECK ((labor_operation_id IS NOT NULL) = (line_kind = 'labor')
               AND (part_id IS NOT NULL) = (line_kind = 'part')
               AND (part_type_id IS NOT NULL) = (line_kind = 'part_type')),
    CONSTRAINT canned_job_line_discount_bounded CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT canned_job_line_amounts_not_negative
        CHECK (default_hours >= 0 AND unit_price >= 0)
);

COMMENT ON TABLE auto.canned_job_line IS
    'Labor, part or fluid line of a packaged job; quantity may follow the vehicle''s
     specification.';

-- FK: the packages with an operation.
CREATE INDEX canned_job_line_labor_operation_idx
    ON auto.canned_job_line (business_id, labor_operation_id)
    WHERE labor_operation_id IS NOT NULL;

-- FK: the packages with a part.
CREATE INDEX canned_job_line_part_idx
    ON auto.canned_job_line (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- FK: the packages with a type of part.
CREATE INDEX canned_job_line_part_type_idx
    ON auto.canned_job_line (business_id, part_type_id)
    WHERE part_type_id IS NOT NULL;

ALTER TABLE auto.canned_job_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.canned_job_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.canned_job_line TO app_user;
GRANT SELECT ON auto.canned_job_line TO app_readonly;

CREATE TRIGGER canned_job_line_touch
    BEFORE UPDATE ON auto.canned_job_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.maintenance_interval (
    business_id              uuid             NOT NULL,
    maintenance_interval_id  uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    vehicle_configuration_id uuid             NOT NULL,
    canned_job_id            uuid,
    labor_operation_id       uuid,
    service_name             text             NOT NULL,
    schedule_kind            text             NOT NULL DEFAULT 'normal',
    interval_distance        integer,
    interval_months          integer,
    interval_engine_hours    numeric(10, 2),
    first_due_distance       integer,
    first_due_months         integer,
    is_indicator_driven      boolean          NOT NULL DEFAULT false,
    indicator_code           system_core.code,
    source_ref               text,
    priority                 text             NOT NULL DEFAULT 'recommended',
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, maintenance_interval_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    CONSTRAINT maintenance_interval_schedule_known
        CHECK (schedule_kind IN ('normal', 'severe', 'ev', 'fleet', 'time_only')),
    CONSTRAINT maintenance_interval_priority_known
        CHECK (priority IN ('safety', 'warranty_required', 'recommended')),
    CONSTRAINT maintenance_interval_positive
        CHECK (interval_distance > 0 AND interval_months > 0 AND interval_engine_hours > 0
               AND first_due_distance > 0 AND first_due_months > 0),
    CONSTRAINT maintenance_interval_falls_due
        CHECK (is_indicator_driven
               OR num_nonnulls(interval_distance, interval_months, interval_engine_hours) > 0),
    CONSTRAINT maintenance_interval_indicator_has_code
        CHECK (NOT is_indicator_driven OR indicator_code IS NOT NULL)
);

COMMENT ON TABLE auto.maintenance_interval IS
    'OEM schedule item: which service a build needs, at which distance, months or hours.';

-- FK: the schedule of a build.
CREATE INDEX maintenance_interval_vehicle_configuration_idx
    ON auto.maintenance_interval (business_id, vehicle_configuration_id);

-- FK: what a package is due for.
CREATE INDEX maintenance_interval_canned_job_idx
    ON auto.maintenance_interval (business_id, canned_job_id)
    WHERE canned_job_id IS NOT NULL;

-- FK: what an operation is due for.
CREATE INDEX maintenance_interval_labor_operation_idx
    ON auto.maintenance_interval (business_id, labor_operation_id)
    WHERE labor_operation_id IS NOT NULL;

ALTER TABLE auto.maintenance_interval ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.maintenance_interval
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.maintenance_interval TO app_user;
GRANT SELECT ON auto.maintenance_interval TO app_readonly;

CREATE TRIGGER maintenance_interval_touch
    BEFORE UPDATE ON auto.maintenance_interval
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.fleet_price_agreement (
    business_id              uuid                   NOT NULL,
    fleet_price_agreement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    fleet_account_id         uuid                   NOT NULL,
    canned_job_id            uuid,
    part_type_id             uuid,
    labor_operation_id       uuid,
    agreement_kind           text                   NOT NULL,
    fixed_price              system_core.money,
    adjust_pct               system_core.percentage,
    cap_amount               system_core.money,
    max_vehicle_age_years    integer,
    duty_class               text                   NOT NULL DEFAULT 'light',
    effective_on             date                   NOT NULL,
    ends_on                  date,
    approval_note            text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fleet_price_agreement_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    CONSTRAINT fleet_price_agreement_kind_known
        CHECK (agreement_kind IN ('fixed_job', 'labor_discount', 'parts_discount',
                                  'parts_cost_plus', 'price_cap')),
    CONSTRAINT fleet_price_agreement_duty_class_known
        CHECK (duty_class IN ('light', 'medium', 'heavy')),
    CONSTRAINT fleet_price_agreement_one_target
        CHECK (num_nonnulls(canned_job_id, part_type_id, labor_operation_id) <= 1),
    CONSTRAINT fleet_price_agreement_fixed_job_has_price
        CHECK ((fixed_price IS NOT NULL) = (agreement_kind = 'fixed_job')
               AND (agreement_kind <> 'fixed_job' OR canned_job_id IS NOT NULL)),
    CONSTRAINT fleet_price_agreement_adjusts
        CHECK ((adjust_pct IS NOT NULL) = (agreement_kind IN ('labor_discount', 'parts_discount',
                                                              'parts_cost_plus'))
               AND CASE WHEN agreement_kind = 'parts_cost_plus' THEN adjust_pct BETWEEN 0 AND 300
                        ELSE adjust_pct BETWEEN -100 AND 0 END),
    CONSTRAINT fleet_price_agreement_cap_has_amount
        CHECK ((cap_amount IS NOT NULL) = (agreement_kind = 'price_cap')),
    CONSTRAINT fleet_price_agreement_ends_after_start CHECK (ends_on >= effective_on),
    CONSTRAINT fleet_price_agreement_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, fleet_account_id WITH =, agreement_kind WITH =, duty_class WITH =,
        (coalesce(canned_job_id, part_type_id, labor_operation_id,
                  '00000000-0000-0000-0000-000000000000')) WITH =,
        daterange(effective_on, ends_on, '[]') WITH &&)
);

COMMENT ON TABLE auto.fleet_price_agreement IS
    'Contracted price or cap for a job, part type or labor kind of a fleet.';

-- FK: what a fleet agreed.
CREATE INDEX fleet_price_agreement_fleet_account_idx
    ON auto.fleet_price_agreement (business_id, fleet_account_id);

-- FK: the agreements on a package.
CREATE INDEX fleet_price_agreement_canned_job_idx
    ON auto.fleet_price_agreement (business_id, canned_job_id)
    WHERE canned_job_id IS NOT NULL;

-- FK: the agreements on a type of part.
CREATE INDEX fleet_price_agreement_part_type_idx
    ON auto.fleet_price_agreement (business_id, part_type_id)
    WHERE part_type_id IS NOT NULL;

-- FK: the agreements on an operation.
CREATE INDEX fleet_price_agreement_labor_operation_idx
    ON auto.fleet_price_agreement (business_id, labor_operation_id)
    WHERE labor_operation_id IS NOT NULL;

ALTER TABLE auto.fleet_price_agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.fleet_price_agreement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.fleet_price_agreement TO app_user;
GRANT SELECT ON auto.fleet_price_agreement TO app_readonly;

CREATE TRIGGER fleet_price_agreement_touch
    BEFORE UPDATE ON auto.fleet_price_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.require_active_operation() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    retired text;
BEGIN
    SELECT o.name INTO retired
    FROM auto.labor_operation AS o
    WHERE o.business_id = NEW.business_id AND o.labor_operation_id = NEW.labor_operation_id
      AND NOT o.is_active;
    IF FOUND AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'operation % is not sold any more', retired
            USING ERRCODE = 'check_violation', HINT = 'Choose its successor in the guide.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_active_operation() IS
    'An operation that is not active is not put on new jobs; old ones keep it.';

CREATE TRIGGER canned_job_line_active_operation
    BEFORE INSERT OR UPDATE OF labor_operation_id ON auto.canned_job_line
    FOR EACH ROW WHEN (NEW.labor_operation_id IS NOT NULL)
    EXECUTE FUNCTION auto.require_active_operation();


CREATE FUNCTION auto.find_fitting_parts(of_vehicle uuid, wanted uuid, place text DEFAULT NULL)
    RETURNS TABLE (
        part_id     uuid,
        "position"  text,
        on_hand_qty numeric,
        cost_price  numeric,
        eta_minutes integer,
        rank        bigint
    )
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    RETURN QUERY
    WITH this AS (
        SELECT v.vehicle_configuration_id, to_jsonb(c) || to_jsonb(v) AS known
        FROM auto.vehicle AS v
        JOIN auto.vehicle_configuration AS c
            ON c.business_id = v.business_id
           AND c.vehicle_configuration_id = v.vehicle_configuration_id
        WHERE v.business_id = tenant AND v.vehicle_id = of_vehicle
    ), fitting AS (
        -- What is said of the part itself counts; else what is said of the numbers it replaced.
        SELECT r.part_id, f.position AS place,
               coalesce(bool_or(f.confidence = 'disputed') FILTER (WHERE f.part_id = r.part_id),
                        bool_and(f.confidence = 'disputed')) AS disputed
        FROM this AS t
        JOIN auto.part_fitment AS f
            ON f.business_id = tenant
           AND f.vehicle_configuration_id = t.vehicle_configuration_id
           AND f.part_type_id = wanted AND NOT f.is_excluded
        CROSS JOIN LATERAL (SELECT auto.current_part(f.part_id) AS part_id) AS r
        WHERE (place IS NULL OR f.position IN (place, 'any'))
          -- Every qualifier that the vehicle or its build knows an answer to has to agree.
          AND NOT EXISTS (
              SELECT
              FROM jsonb_each_text(f.qualifiers) AS q (key, value)
              WHERE q.value <> t.known ->> q.key)
          -- Neither the part nor what replaces it is known not to fit. An exclusion with a
          -- qualifier that nobody knows an answer to is left to the advisor.
          AND NOT EXISTS (
              SELECT
              FROM auto.part_fitment AS x
              WHERE x.business_id = tenant
                AND x.vehicle_configuration_id = t.vehicle_configuration_id
                AND x.part_id IN (f.part_id, r.part_id) AND x.is_excluded
                AND x.position IN (f.position, 'any')
                AND NOT EXISTS (
                    SELECT
                    FROM jsonb_each_text(x.qualifiers) AS q (key, value)
                    WHERE q.value IS DISTINCT FROM t.known ->> q.key))
        GROUP BY r.part_id, f.position
    ), stock AS (
        SELECT b.part_id, sum(b.on_hand_qty - b.committed_qty) AS free
        FROM auto.stock_balance AS b
        WHERE b.business_id = tenant AND b.part_id IN (SELECT x.part_id FROM fitting AS x)
        GROUP BY b.part_id
    )
    SELECT f.part_id, f.place, coalesce(s.free, 0)::numeric, c.cost::numeric,
           CASE WHEN s.free > 0 THEN 0 ELSE c.minutes END,
           row_number() OVER (ORDER BY f.disputed, coalesce(s.free, 0) > 0 DESC,
                                       c.cost NULLS LAST, c.minutes NULLS LAST, f.part_id,
                                       f.place)
    FROM fitting AS f
    LEFT JOIN stock AS s ON s.part_id = f.part_id
    LEFT JOIN LATERAL (
        SELECT p.cost_price AS cost, p.lead_time_minutes AS minutes
        FROM auto.supplier_part AS p
        JOIN auto.supplier AS u
            ON u.business_id = p.business_id AND u.supplier_id = p.supplier_id AND u.is_active
        WHERE p.business_id = tenant AND p.part_id = f.part_id AND NOT p.is_discontinued
        ORDER BY p.available_qty > 0 DESC, p.cost_price, p.lead_time_minutes, p.supplier_part_id
        LIMIT 1
    ) AS c ON true
    ORDER BY 6;
END
$$;
COMMENT ON FUNCTION auto.find_fitting_parts(uuid, uuid, text) IS
    'The parts of a type that fit a vehicle of the caller''s tenant: supersession followed,
     qualifiers and exclusions checked, what lies in stock first, then the cheapest supplier that
     has it; disputed fitments last.';
