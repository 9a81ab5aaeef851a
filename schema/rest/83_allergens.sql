/*
 * What guests must not eat, from the label of an ingredient to the plate.
 *
 * An allergen is what must be declared. Ingredients carry it by their label
 * (inventory_item_allergen); rest.derive_item_allergens() rolls it up through recipes and
 * sub-recipes to the dishes (menu_item_allergen), where a chef may override it with a reason.
 * Guests tell what they cannot eat (guest_allergy); rest.order_allergy_alerts() compares it with
 * what they order.
 */

CREATE TABLE rest.allergen (
    business_id      uuid             NOT NULL,
    allergen_id      uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    allergen_code    system_core.code NOT NULL,
    display_name     text             NOT NULL,
    regime           text             NOT NULL,
    declaration_text text,
    icon_name        text,
    severity_default text             NOT NULL,
    sort_order       integer          NOT NULL,
    is_active        boolean          NOT NULL DEFAULT true,
    created_at       timestamptz      NOT NULL DEFAULT now(),
    updated_at       timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, allergen_id),
    UNIQUE (business_id, allergen_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT allergen_regime_known CHECK (regime IN ('us_major_9', 'eu_14', 'local')),
    CONSTRAINT allergen_severity_default_known
        CHECK (severity_default IN ('intolerance', 'allergy', 'anaphylaxis'))
);

COMMENT ON TABLE rest.allergen IS 'Allergen to be declared (US major nine, EU fourteen, local).';
COMMENT ON COLUMN rest.allergen.regime IS
    'Which rule asks for it; a tenant lists those it follows.';
COMMENT ON COLUMN rest.allergen.declaration_text IS 'How menus and labels name it.';

ALTER TABLE rest.allergen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.allergen
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.allergen TO app_user;
GRANT SELECT ON rest.allergen TO app_readonly;

CREATE TRIGGER allergen_touch
    BEFORE UPDATE ON rest.allergen
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inventory_item_allergen (
    business_id                uuid        NOT NULL,
    inventory_item_allergen_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_item_id          uuid        NOT NULL,
    allergen_id                uuid        NOT NULL,
    presence                   text        NOT NULL,
    source                     text        NOT NULL,
    spec_reference             text,
    cross_contact_note         text,
    verified_on                date,
    review_due_on              date,
    is_active                  boolean     NOT NULL DEFAULT true,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_item_allergen_id),
    UNIQUE (business_id, inventory_item_id, allergen_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, allergen_id) REFERENCES rest.allergen (business_id, allergen_id),
    CONSTRAINT inventory_item_allergen_presence_known
        CHECK (presence IN ('contains', 'may_contain', 'free_from')),
    CONSTRAINT inventory_item_allergen_source_known
        CHECK (source IN ('label', 'vendor_spec', 'lab', 'assumed')),
    CONSTRAINT inventory_item_allergen_review_after_verification
        CHECK (review_due_on > verified_on),
    CONSTRAINT inventory_item_allergen_free_from_is_shown
        CHECK (presence <> 'free_from' OR source <> 'assumed')
);

COMMENT ON TABLE rest.inventory_item_allergen IS
    'Allergen of an ingredient by its label or vendor specification.';
COMMENT ON COLUMN rest.inventory_item_allergen.source IS
    'Where it is known from; what is only assumed never shows a dish to be free from it.';

-- FK: the ingredients with an allergen.
CREATE INDEX inventory_item_allergen_allergen_idx
    ON rest.inventory_item_allergen (business_id, allergen_id);

ALTER TABLE rest.inventory_item_allergen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_item_allergen
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_item_allergen TO app_user;
GRANT SELECT ON rest.inventory_item_allergen TO app_readonly;

CREATE TRIGGER inventory_item_allergen_touch
    BEFORE UPDATE ON rest.inventory_item_allergen
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_item_allergen (
    business_id           uuid        NOT NULL,
    menu_item_allergen_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    verified_by_staff_id  uuid,
    menu_item_id          uuid        NOT NULL,
    allergen_id           uuid        NOT NULL,
    presence              text        NOT NULL,
    derived_from          text        NOT NULL,
    derived_at            timestamptz,
    override_reason       text,
    removal_instruction   text,
    is_published          boolean     NOT NULL DEFAULT false,
    verified_at           timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_allergen_id),
    UNIQUE (business_id, menu_item_id, allergen_id),
    FOREIGN KEY (business_id, verified_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, allergen_id) REFERENCES rest.allergen (business_id, allergen_id),
    CONSTRAINT menu_item_allergen_presence_known
        CHECK (presence IN ('contains', 'may_contain', 'removable', 'free_from')),
    CONSTRAINT menu_item_allergen_derived_from_known
        CHECK (derived_from IN ('recipe', 'manual', 'override')),
    CONSTRAINT menu_item_allergen_override_has_reason
        CHECK ((coalesce(override_reason, '') ~ '\S') = (derived_from = 'override')),
    CONSTRAINT menu_item_allergen_removable_says_how
        CHECK (presence <> 'removable' OR coalesce(removal_instruction, '') ~ '\S'),
    CONSTRAINT menu_item_allergen_verification_is_whole
        CHECK (num_nonnulls(verified_at, verified_by_staff_id) IN (0, 2)),
    CONSTRAINT menu_item_allergen_derived_has_time
        CHECK (derived_from <> 'recipe' OR derived_at IS NOT NULL),
    -- A warning is shown at once; that a dish is safe is shown once somebody verified it.
    CONSTRAINT menu_item_allergen_safety_is_verified
        CHECK (NOT is_published OR presence IN ('contains', 'may_contain')
               OR verified_at IS NOT NULL)
);

COMMENT ON TABLE rest.menu_item_allergen IS
    'Allergen declared for a dish, derived from its recipe or overridden with a reason.';
COMMENT ON COLUMN rest.menu_item_allergen.presence IS
    'Removable: only optional parts contain it, which the kitchen can leave out.';
COMMENT ON COLUMN rest.menu_item_allergen.derived_from IS
    'Recipe: kept by the roll-up. Manual stands while the recipe says nothing worse; override
     stands in any case, with its reason.';

-- FK: who verified declarations.
CREATE INDEX menu_item_allergen_verified_by_staff_idx
    ON rest.menu_item_allergen (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the dishes with an allergen.
CREATE INDEX menu_item_allergen_allergen_idx
    ON rest.menu_item_allergen (business_id, allergen_id);

ALTER TABLE rest.menu_item_allergen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item_allergen
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item_allergen TO app_user;
GRANT SELECT ON rest.menu_item_allergen TO app_readonly;

CREATE TRIGGER menu_item_allergen_touch
    BEFORE UPDATE ON rest.menu_item_allergen
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION rest.ingredients_of_dishes(dishes uuid[], day date DEFAULT current_date)
    RETURNS TABLE (menu_item_id uuid, inventory_item_id uuid, is_optional boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE part AS (
        SELECT u.menu_item_id, u.recipe_id, u.inventory_item_id, false AS is_optional
        FROM rest.recipe_usage AS u
        WHERE u.business_id = tenant_mgmt.current_business_id() AND u.is_active
          AND u.menu_item_id IS NOT NULL AND u.usage_kind <> 'packaging'
          AND (dishes IS NULL OR u.menu_item_id = ANY (dishes))
          AND u.effective_from <= day
          AND (u.effective_to IS NULL OR u.effective_to >= day)
        -- UNION, so that a cycle ends.
        UNION
        SELECT p.menu_item_id, n.recipe_id, n.inventory_item_id, p.is_optional OR n.is_optional
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT l.sub_recipe_id AS recipe_id, l.inventory_item_id,
                   l.is_optional
            FROM rest.recipe_line AS l
            WHERE l.business_id = tenant_mgmt.current_business_id()
              AND l.recipe_id = p.recipe_id
            UNION ALL
            -- A prepared item contains what its recipe is made of.
            SELECT r.recipe_id, NULL, false
            FROM rest.recipe AS r
            WHERE r.business_id = tenant_mgmt.current_business_id()
              AND r.produces_item_id = p.inventory_item_id AND r.state = 'approved'
        ) AS n
    )
    SELECT p.menu_item_id, p.inventory_item_id, bool_and(p.is_optional)
    FROM part AS p
    WHERE p.inventory_item_id IS NOT NULL
    GROUP BY p.menu_item_id, p.inventory_item_id;
END;
COMMENT ON FUNCTION rest.ingredients_of_dishes(uuid[], date) IS
    'What dishes (all of them, when null) are made of on a day, through sub-recipes and prepared
     items; optional is what can be left out wherever it is used.';

CREATE FUNCTION rest.allergens_of_dishes(dishes uuid[], day date DEFAULT current_date)
    RETURNS TABLE (menu_item_id uuid, allergen_id uuid, presence text, leave_out text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH made AS (
        SELECT d.menu_item_id, d.inventory_item_id, d.is_optional,
               EXISTS (SELECT FROM rest.recipe AS r
                       WHERE r.business_id = tenant_mgmt.current_business_id()
                         AND r.produces_item_id = d.inventory_item_id
                         AND r.state = 'approved') AS is_made_here
        FROM rest.ingredients_of_dishes(dishes, day) AS d
    )
    SELECT m.menu_item_id, a.allergen_id,
           CASE WHEN bool_or(a.presence = 'contains' AND NOT m.is_optional) THEN 'contains'
                WHEN bool_or(a.presence = 'contains') THEN 'removable'
                WHEN bool_or(a.presence = 'may_contain') THEN 'may_contain'
                ELSE 'free_from' END,
           string_agg(i.display_name, ', ' ORDER BY i.display_name, i.inventory_item_id)
               FILTER (WHERE a.presence = 'contains')
    FROM made AS m
    JOIN rest.inventory_item_allergen AS a
        ON a.business_id = tenant_mgmt.current_business_id()
       AND a.inventory_item_id = m.inventory_item_id AND a.is_active
    JOIN rest.inventory_item AS i
        ON i.business_id = a.business_id AND i.inventory_item_id = a.inventory_item_id
    GROUP BY m.menu_item_id, a.allergen_id
    -- Free from it is a dish of which every part is known to be free from it.
    HAVING bool_or(a.presence <> 'free_from')
        OR count(*) FILTER (WHERE NOT m.is_made_here) = (
               SELECT count(*) FROM made AS x
               WHERE x.menu_item_id = m.menu_item_id AND NOT x.is_made_here);
END;
COMMENT ON FUNCTION rest.allergens_of_dishes(uuid[], date) IS
    'What the labels of their ingredients say about the allergens of dishes: the worst one counts,
     and silence about one ingredient is not free from.';

CREATE FUNCTION rest.derive_item_allergens(dishes uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    gone   integer;
    made   integer;
BEGIN
    -- Two roll-ups of a dish wait for each other.
    PERFORM FROM rest.menu_item AS m
    WHERE m.business_id = tenant AND (dishes IS NULL OR m.menu_item_id = ANY (dishes))
    ORDER BY m.menu_item_id
    FOR NO KEY UPDATE;
    DELETE FROM rest.menu_item_allergen AS d
    WHERE d.business_id = tenant AND d.derived_from = 'recipe'
      AND (dishes IS NULL OR d.menu_item_id = ANY (dishes))
      AND NOT EXISTS (SELECT FROM rest.allergens_of_dishes(dishes) AS n
                      WHERE n.menu_item_id = d.menu_item_id AND n.allergen_id = d.allergen_id);
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO rest.menu_item_allergen AS d
        (business_id, menu_item_id, allergen_id, presence, derived_from, derived_at,
         removal_instruction, is_published)
    SELECT tenant, n.menu_item_id, n.allergen_id, n.presence, 'recipe', now(),
           CASE n.presence WHEN 'removable' THEN 'Leave out: ' || n.leave_out END,
           n.presence IN ('contains', 'may_contain')
    FROM rest.allergens_of_dishes(dishes) AS n
    ON CONFLICT (business_id, menu_item_id, allergen_id) DO UPDATE
    SET presence = EXCLUDED.presence, derived_from = 'recipe', derived_at = EXCLUDED.derived_at,
        removal_instruction = EXCLUDED.removal_instruction, is_published = EXCLUDED.is_published,
        verified_at = NULL, verified_by_staff_id = NULL
    WHERE CASE d.derived_from
              WHEN 'recipe' THEN
                  (d.presence, d.removal_instruction)
                  IS DISTINCT FROM (EXCLUDED.presence, EXCLUDED.removal_instruction)
              WHEN 'manual' THEN
                  array_position(ARRAY['free_from', 'may_contain', 'removable', 'contains'],
                                 EXCLUDED.presence)
                  > array_position(ARRAY['free_from', 'may_contain', 'removable', 'contains'],
                                   d.presence)
              ELSE false END;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN gone + made;
END
$$;
COMMENT ON FUNCTION rest.derive_item_allergens(uuid[]) IS
    'Rolls allergens up from the ingredients to dishes (all of them, when null) and returns how
     many declarations changed; a changed one must be verified anew. Overrides stand.';

CREATE FUNCTION rest.refuse_false_free_from() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rest.allergens_of_dishes(ARRAY[NEW.menu_item_id]) AS a
               WHERE a.allergen_id = NEW.allergen_id
                 AND a.presence IN ('contains', 'removable'))
    THEN
        RAISE EXCEPTION 'an ingredient of the dish contains the allergen'
            USING ERRCODE = 'check_violation',
                  HINT = 'Only an override with a reason may say otherwise.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_false_free_from() IS
    'Nothing is declared free from what one of its ingredients contains, unless overridden.';

CREATE TRIGGER menu_item_allergen_free_from
    BEFORE INSERT OR UPDATE ON rest.menu_item_allergen
    FOR EACH ROW
    WHEN (NEW.presence = 'free_from' AND NEW.derived_from <> 'override'
          AND row_security_active('rest.menu_item_allergen'))
    EXECUTE FUNCTION rest.refuse_false_free_from();

CREATE FUNCTION rest.roll_up_label() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    dishes uuid[];
BEGIN
    IF NOT row_security_active('rest.inventory_item_allergen') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT d.menu_item_id) INTO dishes
    FROM rest.ingredients_of_dishes(NULL) AS d
    WHERE d.inventory_item_id IN (SELECT c.inventory_item_id FROM changed AS c);
    IF dishes IS NOT NULL THEN
        PERFORM rest.derive_item_allergens(dishes);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.roll_up_label() IS
    'A label that changes changes the declarations of every dish with the ingredient.';

CREATE TRIGGER inventory_item_allergen_roll_up_insert
    AFTER INSERT ON rest.inventory_item_allergen
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_label();

CREATE TRIGGER inventory_item_allergen_roll_up_update
    AFTER UPDATE ON rest.inventory_item_allergen
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_label();

CREATE TRIGGER inventory_item_allergen_roll_up_delete
    AFTER DELETE ON rest.inventory_item_allergen
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_label();

CREATE FUNCTION rest.roll_up_usage() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    dishes uuid[];
BEGIN
    IF NOT row_security_active('rest.recipe_usage') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT c.menu_item_id) INTO dishes
    FROM changed AS c
    WHERE c.menu_item_id IS NOT NULL;
    IF dishes IS NOT NULL THEN
        PERFORM rest.derive_item_allergens(dishes);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.roll_up_usage() IS
    'A dish that is made of something else is declared anew.';

CREATE TRIGGER recipe_usage_roll_up_insert
    AFTER INSERT ON rest.recipe_usage
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_usage();

CREATE TRIGGER recipe_usage_roll_up_update
    AFTER UPDATE ON rest.recipe_usage
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_usage();

CREATE TRIGGER recipe_usage_roll_up_delete
    AFTER DELETE ON rest.recipe_usage
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.roll_up_usage();


CREATE TABLE rest.guest_allergy (
    business_id      uuid        NOT NULL,
    guest_allergy_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    guest_profile_id uuid        NOT NULL,
    allergen_id      uuid        NOT NULL,
    severity         text        NOT NULL,
    source           text        NOT NULL,
    reported_at      timestamptz NOT NULL DEFAULT now(),
    confirmed_at     timestamptz,
    alerts_kitchen   boolean     NOT NULL DEFAULT false,
    note             text,
    is_active        boolean     NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_allergy_id),
    UNIQUE (business_id, guest_profile_id, allergen_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, allergen_id) REFERENCES rest.allergen (business_id, allergen_id),
    CONSTRAINT guest_allergy_severity_known
        CHECK (severity IN ('intolerance', 'allergy', 'anaphylaxis')),
    CONSTRAINT guest_allergy_source_known CHECK (source IN ('guest', 'staff', 'booking')),
    CONSTRAINT guest_allergy_anaphylaxis_alerts_kitchen
        CHECK (severity <> 'anaphylaxis' OR alerts_kitchen),
    CONSTRAINT guest_allergy_confirmed_after_report CHECK (confirmed_at >= reported_at)
);

COMMENT ON TABLE rest.guest_allergy IS
    'What a guest cannot eat, how bad it is, and whether the kitchen is alerted.';

-- FK: the guests with an allergy to something.
CREATE INDEX guest_allergy_allergen_idx ON rest.guest_allergy (business_id, allergen_id);

ALTER TABLE rest.guest_allergy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_allergy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_allergy TO app_user;
GRANT SELECT ON rest.guest_allergy TO app_readonly;

CREATE TRIGGER guest_allergy_touch
    BEFORE UPDATE ON rest.guest_allergy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION rest.order_allergy_alerts(placed uuid)
    RETURNS TABLE (
        guest_profile_id uuid,
        guest_name       text,
        check_item_id    uuid,
        item_name        text,
        seat_number      integer,
        allergen_code    text,
        severity         text,
        presence         text,
        what_to_do       text,
        alerts_kitchen   boolean
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT i.check_item_id, i.display_name, i.menu_item_id, i.guest_check_id,
               s.seat_number, s.guest_profile_id AS seated
        FROM rest.guest_check AS c
        JOIN rest.check_item AS i
            ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
           AND i.state <> 'voided'
        LEFT JOIN rest.check_seat AS s
            ON s.business_id = i.business_id AND s.check_seat_id = i.check_seat_id
        WHERE c.business_id = tenant_mgmt.current_business_id() AND c.guest_order_id = placed
    ), guest AS (
        SELECT o.guest_profile_id
        FROM rest.guest_order AS o
        WHERE o.business_id = tenant_mgmt.current_business_id() AND o.guest_order_id = placed
          AND o.guest_profile_id IS NOT NULL
        UNION
        SELECT c.guest_profile_id
        FROM rest.guest_check AS c
        WHERE c.business_id = tenant_mgmt.current_business_id() AND c.guest_order_id = placed
          AND c.guest_profile_id IS NOT NULL
        UNION
        SELECT s.guest_profile_id
        FROM rest.guest_check AS c
        JOIN rest.check_seat AS s
            ON s.business_id = c.business_id AND s.guest_check_id = c.guest_check_id
        WHERE c.business_id = tenant_mgmt.current_business_id() AND c.guest_order_id = placed
          AND s.guest_profile_id IS NOT NULL
    )
    SELECT g.guest_profile_id, p.display_name, l.check_item_id, l.display_name, l.seat_number,
           n.allergen_code::text, y.severity, coalesce(d.presence, 'undeclared'),
           d.removal_instruction, y.alerts_kitchen
    FROM guest AS g
    JOIN rest.guest_profile AS p
        ON p.business_id = tenant_mgmt.current_business_id()
       AND p.guest_profile_id = g.guest_profile_id
    JOIN rest.guest_allergy AS y
        ON y.business_id = p.business_id AND y.guest_profile_id = p.guest_profile_id
       AND y.is_active
    JOIN rest.allergen AS n
        ON n.business_id = y.business_id AND n.allergen_id = y.allergen_id
    -- Who eats what is known only where the seat has a guest: anything else may be theirs.
    JOIN line AS l ON coalesce(l.seated, g.guest_profile_id) = g.guest_profile_id
    LEFT JOIN rest.menu_item_allergen AS d
        ON d.business_id = y.business_id AND d.menu_item_id = l.menu_item_id
       AND d.allergen_id = y.allergen_id
    WHERE d.presence <> 'free_from'
       -- A dish about which nothing at all is declared is no safe dish.
       OR d.presence IS NULL AND NOT EXISTS (
              SELECT FROM rest.menu_item_allergen AS x
              WHERE x.business_id = y.business_id AND x.menu_item_id = l.menu_item_id)
    ORDER BY array_position(ARRAY['anaphylaxis', 'allergy', 'intolerance'], y.severity),
             p.display_name, l.check_item_id, n.allergen_code;
END;
COMMENT ON FUNCTION rest.order_allergy_alerts(uuid) IS
    'The lines of an order that its guests must not eat, worst first, with what the kitchen can
     leave out; undeclared is a dish about which nothing is known.';
