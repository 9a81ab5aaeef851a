SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What labels say: what an ingredient is, and traces from the lines it was packed on.
INSERT INTO rest.inventory_item_allergen
    (business_id, inventory_item_allergen_id, inventory_item_id, allergen_id, presence, source,
     spec_reference, cross_contact_note, verified_on, review_due_on, is_active)
SELECT i.business_id, md5('label ' || i.inventory_item_id || a.allergen_id)::uuid,
       i.inventory_item_id, a.allergen_id,
       CASE WHEN w.is_made_of_it THEN 'contains' ELSE 'may_contain' END,
       CASE WHEN i.place %% 5 = 0 THEN 'vendor_spec' ELSE 'label' END,
       'SPEC-' || i.item_code,
       CASE WHEN NOT w.is_made_of_it THEN 'Packed on a shared line' END,
       %(as_of)s::date - 20 - i.place %% 300, %(as_of)s::date - 20 - i.place %% 300 + 365, true
FROM (
    SELECT x.*, ('x' || substr(md5(x.inventory_item_id::text), 1, 7))::bit(28)::integer AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.item_kind IN ('ingredient', 'prep', 'resale')
) AS i
CROSS JOIN rest.allergen AS a
JOIN (VALUES
    ('MILK', 'butter|cream|cheese|milk|burrata|parmesan|yogurt|mozzarella|cheddar|ranch'),
    ('EGG', 'egg|mayo|aioli|pasta|brioche|hollandaise'),
    ('FISH', 'salmon|cod|tuna|anchov|fish|worcester'),
    ('SHELLFISH', 'shrimp|crab|lobster|prawn'),
    ('TREENUT', 'almond|walnut|pecan|hazelnut|pistachio|cashew|pesto'),
    ('PEANUT', 'peanut'),
    ('GLUTEN', 'flour|bread|bun|pasta|panko|soy sauce|beer|brioche|crouton'),
    ('SOY', 'soy|tofu|miso|edamame|teriyaki'),
    ('SESAME', 'sesame|tahini|hummus'),
    ('CELERY', 'celery|mirepoix|stock'),
    ('MUSTARD', 'mustard|dijon|vinaigrette'),
    ('LUPIN', 'lupin'),
    ('MOLLUSC', 'octopus|calamari|squid|clam|mussel|oyster'),
    ('SULPHITE', 'wine|vinegar|dried|cider')
) AS k (code, pattern) ON k.code = a.allergen_code
CROSS JOIN LATERAL (
    SELECT i.display_name ~* k.pattern AS is_made_of_it,
           (i.place + a.sort_order * 37) %% 100 < 7 AS has_traces
) AS w
WHERE a.business_id = %(business_id)s AND (w.is_made_of_it OR w.has_traces);

-- Recipes tell what dishes contain.
INSERT INTO rest.menu_item_allergen
    (business_id, menu_item_allergen_id, verified_by_staff_id, menu_item_id, allergen_id, presence,
     derived_from, derived_at, removal_instruction, is_published, verified_at)
SELECT %(business_id)s, md5('dish ' || d.menu_item_id || d.allergen_id)::uuid, s.staff_member_id,
       d.menu_item_id, d.allergen_id, d.presence, 'recipe', %(as_of)s - interval '9 days',
       CASE d.presence WHEN 'removable' THEN 'Leave out: ' || d.leave_out END, true,
       %(as_of)s - interval '8 days'
FROM rest.allergens_of_dishes(NULL, %(as_of)s::date) AS d
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.hired_on, x.employee_number
    LIMIT 1
) AS s;

-- The chef declares what the name of a dish says already, where the recipe is silent.
INSERT INTO rest.menu_item_allergen
    (business_id, menu_item_allergen_id, verified_by_staff_id, menu_item_id, allergen_id, presence,
     derived_from, is_published, verified_at)
SELECT m.business_id, md5('dish ' || m.menu_item_id || a.allergen_id)::uuid, s.staff_member_id,
       m.menu_item_id, a.allergen_id, 'contains', 'manual', true, %(as_of)s - interval '8 days'
FROM rest.menu_item AS m
JOIN (VALUES
    ('MILK', 'burrata|butter|caesar|risotto|mac and|cheese|cream|mashed|pie|tart|burger|smash'),
    ('EGG', 'egg|caesar|tartare|cake|tart|pie|cavatelli|chicken sandwich|ice cream'),
    ('FISH', 'salmon|fish|caesar|poke'),
    ('SHELLFISH', 'shrimp'),
    ('GLUTEN', 'bread|burger|sandwich|smash|cake|tart|pie|cavatelli|calamari|fish and|pilsner'
               '|ipa|stout|wheat|falafel|ragu|mac and|boneless'),
    ('SOY', 'poke|miso|boneless'),
    ('SESAME', 'falafel|poke|burger'),
    ('CELERY', 'celery|wings|soup'),
    ('MUSTARD', 'tartare|deviled|side salad'),
    ('MOLLUSC', 'octopus|calamari'),
    ('SULPHITE', 'house|pinot|prosecco|cider')
) AS k (code, pattern) ON m.display_name ~* k.pattern
JOIN rest.allergen AS a
    ON a.business_id = m.business_id AND a.allergen_code = k.code
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.hired_on, x.employee_number
    LIMIT 1
) AS s
WHERE m.business_id = %(business_id)s
ON CONFLICT (business_id, menu_item_id, allergen_id) DO NOTHING;

-- One dish was changed since, and its chef says so.
UPDATE rest.menu_item_allergen AS d
SET derived_from = 'override', presence = 'may_contain', derived_at = NULL,
    override_reason = 'Fried apart, in oil of its own; the supplier changed the coating'
FROM rest.menu_item AS m
JOIN rest.allergen AS a ON a.business_id = m.business_id AND a.allergen_code = 'GLUTEN'
WHERE d.business_id = %(business_id)s
  AND m.business_id = d.business_id AND m.menu_item_id = d.menu_item_id
  AND a.allergen_id = d.allergen_id AND m.display_name = 'Fried calamari';

-- One guest in sixteen cannot eat something.
INSERT INTO rest.guest_allergy
    (business_id, guest_allergy_id, guest_profile_id, allergen_id, severity, source, reported_at,
     confirmed_at, alerts_kitchen, note, is_active)
SELECT g.business_id, md5('allergy ' || g.guest_profile_id || a.allergen_id)::uuid,
       g.guest_profile_id, a.allergen_id, a.severity_default,
       (ARRAY['guest', 'booking', 'staff'])[1 + g.h %% 3],
       %(as_of)s - (20 + g.h %% 300) * interval '1 day',
       CASE WHEN g.h %% 4 > 0 THEN %(as_of)s - (2 + g.h %% 17) * interval '1 day' END,
       a.severity_default <> 'intolerance',
       CASE WHEN a.severity_default = 'anaphylaxis' THEN 'Carries an injector' END, true
FROM (
    SELECT x.business_id, x.guest_profile_id, n.h,
           row_number() OVER (ORDER BY n.h, x.guest_profile_id) AS place,
           count(*) OVER () AS many
    FROM rest.guest_profile AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(x.guest_profile_id::text), 1, 7))::bit(28)::integer AS h
    ) AS n
    WHERE x.business_id = %(business_id)s AND x.merged_at IS NULL
) AS g
JOIN rest.allergen AS a
    ON a.business_id = g.business_id AND a.sort_order = 1 + g.h / 16 %% 9
WHERE g.place <= greatest(4, g.many / 16);
