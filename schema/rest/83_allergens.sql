/*
 * TODO: what the area is and how its tables relate.
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
    CONSTRAINT inventory_item_allergen_review_due_on_follows_verified_on
        CHECK (review_due_on > verified_on)
);

COMMENT ON TABLE rest.inventory_item_allergen IS
    'Allergen of an ingredient by its label or vendor specification.';

-- FK: the inventory item allergens of a allergen.
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
    CONSTRAINT menu_item_allergen_derived_from_iff
        CHECK ((override_reason IS NOT NULL) = (derived_from = 'override'))
);

COMMENT ON TABLE rest.menu_item_allergen IS
    'Allergen declared for a dish, derived from its recipe or overridden with a reason.';
-- RULE free_from is never derived while a recipe ingredient contains the allergen

-- FK: the menu item allergens by their verified by staff.
CREATE INDEX menu_item_allergen_verified_by_staff_idx
    ON rest.menu_item_allergen (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the menu item allergens of a allergen.
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


CREATE TABLE rest.guest_allergy (
    business_id      uuid        NOT NULL,
    guest_allergy_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    guest_profile_id uuid        NOT NULL,
    allergen_id      uuid        NOT NULL,
    severity         text        NOT NULL,
    source           text        NOT NULL,
    reported_at      timestamptz,
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
    CONSTRAINT guest_allergy_alerts_kitchen_implied
        CHECK (NOT (severity = 'anaphylaxis') OR (alerts_kitchen))
);

COMMENT ON TABLE rest.guest_allergy IS 'Allergy of a guest that alerts the kitchen.';

-- FK: the guest allergies of a allergen.
CREATE INDEX guest_allergy_allergen_idx ON rest.guest_allergy (business_id, allergen_id);

ALTER TABLE rest.guest_allergy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_allergy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_allergy TO app_user;
GRANT SELECT ON rest.guest_allergy TO app_readonly;

CREATE TRIGGER guest_allergy_touch
    BEFORE UPDATE ON rest.guest_allergy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
