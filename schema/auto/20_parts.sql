/*
 * Parts: what they are called, what they fit, and what replaces them.
 *
 * A part_type is a word of the parts trade (terminology as in PCdb) with the positions it may take;
 * a part is a number of a brand. A part_fitment says that a part fits a build at a position with
 * qualifiers (as in ACES); where it came back too often it is disputed. part_interchange tells what
 * equals, replaces or is contained in what. Supersession is followed, never in a circle.
 */

CREATE TABLE auto.part_type (
    business_id               uuid        NOT NULL,
    part_type_id              uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    parent_part_type_id       uuid,
    terminology_code          integer     NOT NULL,
    name                      text        NOT NULL,
    category                  text        NOT NULL,
    allowed_positions         text[]      NOT NULL DEFAULT '{}',
    default_unit              text        NOT NULL DEFAULT 'each',
    is_core_bearing           boolean     NOT NULL DEFAULT false,
    is_hazmat_default         boolean     NOT NULL DEFAULT false,
    default_warranty_months   integer     NOT NULL DEFAULT 12,
    default_warranty_distance integer,
    requires_calibration      boolean     NOT NULL DEFAULT false,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_type_id),
    UNIQUE (business_id, terminology_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_part_type_id)
        REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT part_type_category_known
        CHECK (category IN ('brakes', 'engine', 'ignition', 'cooling', 'exhaust', 'steering',
                            'suspension', 'drivetrain', 'electrical', 'hvac', 'body', 'glass',
                            'tires', 'fluids', 'filters', 'hybrid_ev', 'adas')),
    CONSTRAINT part_type_unit_known
        CHECK (default_unit IN ('each', 'set', 'pair', 'quart', 'liter', 'pound', 'foot')),
    CONSTRAINT part_type_warranty_not_negative
        CHECK (default_warranty_months >= 0 AND default_warranty_distance >= 0),
    CONSTRAINT part_type_not_its_own_parent CHECK (parent_part_type_id <> part_type_id),
    CONSTRAINT part_type_positions_known
        CHECK (allowed_positions <@ ARRAY['front', 'rear', 'front_left', 'front_right',
                                          'rear_left', 'rear_right', 'upper', 'lower', 'inner',
                                          'outer', 'any'])
);

COMMENT ON TABLE auto.part_type IS
    'Part terminology (PCdb-like) with position rules and default warranty.';

-- FK: the narrower terms.
CREATE INDEX part_type_parent_part_type_idx
    ON auto.part_type (business_id, parent_part_type_id)
    WHERE parent_part_type_id IS NOT NULL;

ALTER TABLE auto.part_type ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part_type
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part_type TO app_user;
GRANT SELECT ON auto.part_type TO app_readonly;

CREATE TRIGGER part_type_touch
    BEFORE UPDATE ON auto.part_type
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_type_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One at a time: two changes made at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.business_id::text || ' part type', 0));
    IF EXISTS (
        WITH RECURSIVE line AS (
            SELECT NEW.parent_part_type_id AS id
            UNION   -- not ALL: a circle further on ends here, too
            SELECT x.parent_part_type_id
            FROM line AS l
            JOIN auto.part_type AS x ON x.business_id = NEW.business_id AND x.part_type_id = l.id
            WHERE x.parent_part_type_id IS NOT NULL
        )
        SELECT FROM line AS l WHERE l.id = NEW.part_type_id) THEN
        RAISE EXCEPTION 'a part type would be above itself'
            USING ERRCODE = 'check_violation', HINT = 'Place it under a wider term.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.refuse_type_cycle() IS 'Following it never leads back.';

CREATE TRIGGER part_type_no_cycle
    BEFORE INSERT OR UPDATE OF parent_part_type_id ON auto.part_type
    FOR EACH ROW WHEN (NEW.parent_part_type_id IS NOT NULL)
    EXECUTE FUNCTION auto.refuse_type_cycle();


CREATE TABLE auto.part (
    business_id           uuid                    NOT NULL,
    part_id               uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    superseded_by_part_id uuid,
    part_type_id          uuid                    NOT NULL,
    brand_code            system_core.code        NOT NULL,
    part_number           text                    NOT NULL,
    compressed_number     text                    GENERATED ALWAYS AS (
                                            upper(regexp_replace(part_number, '[^A-Za-z0-9]', '',
                                            'g'))) STORED,
    gtin                  text,
    description           text                    NOT NULL,
    condition             text                    NOT NULL DEFAULT 'new',
    unit_of_measure       text                    NOT NULL DEFAULT 'each',
    pack_qty              system_core.quantity    NOT NULL DEFAULT 1,
    weight_lb             system_core.quantity,
    hazmat_un_number      text,
    shelf_life_days       integer,
    core_charge_amount    system_core.money       NOT NULL DEFAULT 0,
    is_taxable            boolean                 NOT NULL DEFAULT true,
    life_cycle            text                    NOT NULL DEFAULT 'available',
    attributes            system_core.json_object NOT NULL DEFAULT '{}',
    velocity_class        text                    NOT NULL DEFAULT 'x',
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_id),
    UNIQUE (business_id, brand_code, compressed_number),
    FOREIGN KEY (business_id, superseded_by_part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT part_condition_known
        CHECK (condition IN ('new', 'oem', 'remanufactured', 'rebuilt', 'used', 'recycled',
                             'aftermarket_certified')),
    CONSTRAINT part_unit_of_measure_known
        CHECK (unit_of_measure IN ('each', 'set', 'pair', 'quart', 'liter', 'pound', 'foot')),
    CONSTRAINT part_life_cycle_known
        CHECK (life_cycle IN ('announced', 'available', 'while_supplies_last', 'discontinued',
                              'obsolete')),
    CONSTRAINT part_velocity_class_known CHECK (velocity_class IN ('a', 'b', 'c', 'd', 'x')),
    CONSTRAINT part_measures_not_negative
        CHECK (core_charge_amount >= 0 AND pack_qty > 0 AND weight_lb >= 0),
    CONSTRAINT part_number_has_characters CHECK (part_number ~ '[A-Za-z0-9]'),
    CONSTRAINT part_gtin_shape CHECK (gtin ~ '^[0-9]{8}([0-9]{4,6})?$'),
    CONSTRAINT part_not_its_own_successor CHECK (superseded_by_part_id <> part_id),
    CONSTRAINT part_available_has_no_successor
        CHECK (superseded_by_part_id IS NULL
               OR life_cycle IN ('while_supplies_last', 'discontinued', 'obsolete'))
);

COMMENT ON TABLE auto.part IS
    'Brand and part number with PIES-style identity, package, hazard and stocking policy.';
COMMENT ON COLUMN auto.part.compressed_number IS
    'The number without separators in upper case: what is searched for.';
COMMENT ON COLUMN auto.part.velocity_class IS 'a sells daily, d hardly ever, x is not stocked.';

-- The counter: a number typed in with or without dashes.
CREATE INDEX part_number_idx
    ON auto.part (business_id, compressed_number text_pattern_ops);

-- FK: what a part replaced.
CREATE INDEX part_superseded_by_part_idx
    ON auto.part (business_id, superseded_by_part_id)
    WHERE superseded_by_part_id IS NOT NULL;

-- FK: the parts of a type.
CREATE INDEX part_part_type_idx ON auto.part (business_id, part_type_id);

ALTER TABLE auto.part ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part TO app_user;
GRANT SELECT ON auto.part TO app_readonly;

CREATE TRIGGER part_touch
    BEFORE UPDATE ON auto.part
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_supersession_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One at a time: two changes made at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.business_id::text || ' part', 0));
    IF EXISTS (
        WITH RECURSIVE line AS (
            SELECT NEW.superseded_by_part_id AS id
            UNION   -- not ALL: a circle further on ends here, too
            SELECT x.superseded_by_part_id
            FROM line AS l
            JOIN auto.part AS x ON x.business_id = NEW.business_id AND x.part_id = l.id
            WHERE x.superseded_by_part_id IS NOT NULL
        )
        SELECT FROM line AS l WHERE l.id = NEW.part_id) THEN
        RAISE EXCEPTION 'a part would replace itself'
            USING ERRCODE = 'check_violation', HINT = 'Name the part that is sold today.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.refuse_supersession_cycle() IS 'Following it never leads back.';

CREATE TRIGGER part_no_cycle
    BEFORE INSERT OR UPDATE OF superseded_by_part_id ON auto.part
    FOR EACH ROW WHEN (NEW.superseded_by_part_id IS NOT NULL)
    EXECUTE FUNCTION auto.refuse_supersession_cycle();

CREATE FUNCTION auto.current_part(number uuid) RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE line AS (
        SELECT p.part_id, p.superseded_by_part_id
        FROM auto.part AS p
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.part_id = number
        UNION   -- not ALL: it ends whatever was imported
        SELECT p.part_id, p.superseded_by_part_id
        FROM line AS l
        JOIN auto.part AS p
            ON p.business_id = tenant_mgmt.current_business_id()
           AND p.part_id = l.superseded_by_part_id
    )
    SELECT l.part_id
    FROM line AS l
    WHERE l.superseded_by_part_id IS NULL;
END;
COMMENT ON FUNCTION auto.current_part(uuid) IS
    'The part that is sold today instead of a number: supersession followed to its end.';


CREATE TABLE auto.part_fitment (
    business_id              uuid                    NOT NULL,
    part_fitment_id          uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    part_id                  uuid                    NOT NULL,
    part_type_id             uuid                    NOT NULL,
    vehicle_configuration_id uuid                    NOT NULL,
    position                 text                    NOT NULL DEFAULT 'any',
    qty_per_vehicle          integer                 NOT NULL DEFAULT 1,
    qualifiers               system_core.json_object NOT NULL DEFAULT '{}',
    fitment_note             text,
    is_excluded              boolean                 NOT NULL DEFAULT false,
    display_seq              integer                 NOT NULL DEFAULT 0,
    source_file_ref          text,
    confidence               text                    NOT NULL DEFAULT 'catalog',
    effective_on             date                    NOT NULL DEFAULT current_date,
    disputed_return_count    integer                 NOT NULL DEFAULT 0,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_fitment_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    CONSTRAINT part_fitment_position_known
        CHECK (position IN ('front', 'rear', 'front_left', 'front_right', 'rear_left',
                            'rear_right', 'upper', 'lower', 'inner', 'outer', 'any')),
    CONSTRAINT part_fitment_confidence_known
        CHECK (confidence IN ('verified', 'catalog', 'inferred', 'disputed')),
    CONSTRAINT part_fitment_quantity_positive CHECK (qty_per_vehicle > 0),
    CONSTRAINT part_fitment_returns_not_negative CHECK (disputed_return_count >= 0),
    CONSTRAINT part_fitment_often_returned_is_disputed
        CHECK (disputed_return_count < 3 OR confidence = 'disputed')
);

COMMENT ON TABLE auto.part_fitment IS
    'ACES-style application: the part, as this terminology, fits this build at this position with
     these qualifiers.';

-- A part fits a build at a position once.
CREATE UNIQUE INDEX part_fitment_position_idx
    ON auto.part_fitment (business_id, part_id, vehicle_configuration_id, position)
    WHERE NOT is_excluded;

-- FK: what a part fits.
CREATE INDEX part_fitment_part_idx ON auto.part_fitment (business_id, part_id);

-- FK: the fitments of a type.
CREATE INDEX part_fitment_part_type_idx ON auto.part_fitment (business_id, part_type_id);

-- FK: what fits a build, by type.
CREATE INDEX part_fitment_vehicle_configuration_idx
    ON auto.part_fitment (business_id, vehicle_configuration_id, part_type_id);

ALTER TABLE auto.part_fitment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part_fitment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part_fitment TO app_user;
GRANT SELECT ON auto.part_fitment TO app_readonly;

CREATE TRIGGER part_fitment_touch
    BEFORE UPDATE ON auto.part_fitment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.carry_part_type() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    own record;
BEGIN
    SELECT p.part_type_id, p.part_number, t.name, t.allowed_positions INTO own
    FROM auto.part AS p
    JOIN auto.part_type AS t
        ON t.business_id = p.business_id AND t.part_type_id = p.part_type_id
    WHERE p.business_id = NEW.business_id AND p.part_id = NEW.part_id;
    IF NOT FOUND THEN
        RETURN NEW;   -- the foreign key refuses it
    END IF;
    NEW.part_type_id := own.part_type_id;
    IF NEW.position <> 'any' AND cardinality(own.allowed_positions) > 0
       AND NOT NEW.position = ANY (own.allowed_positions) THEN
        RAISE EXCEPTION '% does not go %: it is a %', own.part_number, NEW.position, own.name
            USING ERRCODE = 'check_violation',
                  HINT = format('It goes to one of %s.', own.allowed_positions);
    END IF;
    IF NEW.disputed_return_count >= 3 THEN
        NEW.confidence := 'disputed';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.carry_part_type() IS
    'A fitment carries its part''s type, so that one index answers "brake pads of this build"; it
     takes a position of the type, and three disputed returns put it in dispute.';

CREATE TRIGGER part_fitment_carry
    BEFORE INSERT OR UPDATE OF part_id, part_type_id, position, disputed_return_count
    ON auto.part_fitment
    FOR EACH ROW EXECUTE FUNCTION auto.carry_part_type();

CREATE FUNCTION auto.retype_fitments() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.part_fitment AS f
    SET part_type_id = n.part_type_id
    FROM changed AS n
    JOIN earlier AS o ON o.business_id = n.business_id AND o.part_id = n.part_id
    WHERE n.part_type_id <> o.part_type_id
      AND f.business_id = n.business_id AND f.part_id = n.part_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.retype_fitments() IS
    'A part that was filed under another type takes its fitments along; one whose position the new
     type does not have is refused.';

CREATE TRIGGER part_retype_fitments
    AFTER UPDATE ON auto.part
    REFERENCING OLD TABLE AS earlier NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.retype_fitments();


CREATE TABLE auto.part_interchange (
    business_id         uuid                 NOT NULL,
    part_interchange_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    from_part_id        uuid                 NOT NULL,
    to_part_id          uuid                 NOT NULL,
    relation            text                 NOT NULL,
    quality_tier        text                 NOT NULL,
    qty_ratio           system_core.quantity NOT NULL DEFAULT 1,
    is_bidirectional    boolean              NOT NULL DEFAULT false,
    source              text                 NOT NULL,
    effective_on        date                 NOT NULL DEFAULT current_date,
    ends_on             date,
    note_text           text,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_interchange_id),
    UNIQUE (business_id, from_part_id, to_part_id, relation),
    FOREIGN KEY (business_id, from_part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, to_part_id) REFERENCES auto.part (business_id, part_id),
    CONSTRAINT part_interchange_relation_known
        CHECK (relation IN ('interchange', 'superseded_by', 'alternate', 'contained_in_kit',
                            'requires_also', 'oe_equivalent')),
    CONSTRAINT part_interchange_tier_known
        CHECK (quality_tier IN ('oe', 'premium', 'standard', 'economy')),
    CONSTRAINT part_interchange_source_known
        CHECK (source IN ('manufacturer', 'distributor', 'shop')),
    CONSTRAINT part_interchange_goes_elsewhere CHECK (from_part_id <> to_part_id),
    CONSTRAINT part_interchange_ratio_positive CHECK (qty_ratio > 0),
    CONSTRAINT part_interchange_ends_after_start CHECK (ends_on > effective_on)
);

COMMENT ON TABLE auto.part_interchange IS
    'Equivalence between part numbers: cross reference, supersession, kit membership, alternate.';

-- FK: what a part stands in for.
CREATE INDEX part_interchange_to_part_idx ON auto.part_interchange (business_id, to_part_id);

ALTER TABLE auto.part_interchange ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part_interchange
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part_interchange TO app_user;
GRANT SELECT ON auto.part_interchange TO app_readonly;

CREATE TRIGGER part_interchange_touch
    BEFORE UPDATE ON auto.part_interchange
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_interchange_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One at a time: two changes made at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.business_id::text || ' interchange', 0));
    IF EXISTS (
        WITH RECURSIVE line AS (
            SELECT NEW.to_part_id AS id
            UNION   -- not ALL: a circle further on ends here, too
            SELECT x.to_part_id
            FROM line AS l
            JOIN auto.part_interchange AS x
                ON x.business_id = NEW.business_id AND x.from_part_id = l.id
               AND x.relation = 'superseded_by'
        )
        SELECT FROM line AS l WHERE l.id = NEW.from_part_id) THEN
        RAISE EXCEPTION 'a part would replace what replaced it'
            USING ERRCODE = 'check_violation', HINT = 'End the older supersession first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.refuse_interchange_cycle() IS 'Supersession never leads back.';

CREATE TRIGGER part_interchange_no_cycle
    BEFORE INSERT OR UPDATE OF from_part_id, to_part_id, relation ON auto.part_interchange
    FOR EACH ROW WHEN (NEW.relation = 'superseded_by')
    EXECUTE FUNCTION auto.refuse_interchange_cycle();
