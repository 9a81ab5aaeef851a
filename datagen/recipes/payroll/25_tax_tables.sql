SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The federation and the states in which somebody works or lives, as the catalog has them.
INSERT INTO payroll.tax_jurisdiction
    (business_id, tax_jurisdiction_id, code, name, level, fips_code, supplemental_rate,
     effective_from)
VALUES (%(business_id)s, md5('place US ' || %(business_id)s)::uuid, 'US', 'United States',
        'federal', 'US', 0.22, '2018-01-01');

INSERT INTO payroll.tax_jurisdiction
    (business_id, tax_jurisdiction_id, parent_jurisdiction_id, code, name, level, fips_code,
     courtesy_withholding, supplemental_rate, slowest_pay_frequency, effective_from)
SELECT %(business_id)s::uuid, md5('place ' || s.code || %(business_id)s)::uuid,
       md5('place US ' || %(business_id)s)::uuid, s.code, s.name, 'state', s.fips, s.courtesy,
       s.bonus_rate, s.slowest, '2018-01-01'
FROM (VALUES
    ('AZ', 'Arizona', '04', true, NULL, 'semimonthly'),
    ('CA', 'California', '06', true, 0.1023, 'semimonthly'),
    ('CO', 'Colorado', '08', true, 0.044, 'monthly'),
    ('FL', 'Florida', '12', false, NULL, NULL),
    ('GA', 'Georgia', '13', true, 0.0519, 'semimonthly'),
    ('IL', 'Illinois', '17', true, 0.0495, 'semimonthly'),
    ('IN', 'Indiana', '18', true, 0.0295, 'semimonthly'),
    ('MA', 'Massachusetts', '25', true, 0.05, 'biweekly'),
    ('MI', 'Michigan', '26', true, 0.0425, 'semimonthly'),
    ('NC', 'North Carolina', '37', true, 0.0409, 'monthly'),
    ('NY', 'New York', '36', true, 0.117, 'biweekly'),
    ('OH', 'Ohio', '39', true, 0.035, 'semimonthly'),
    ('PA', 'Pennsylvania', '42', true, 0.0307, 'semimonthly'),
    ('TX', 'Texas', '48', false, NULL, 'semimonthly'),
    ('WA', 'Washington', '53', false, NULL, 'monthly'),
    ('WI', 'Wisconsin', '55', true, 0.0530, 'monthly')
) AS s (code, name, fips, courtesy, bonus_rate, slowest)
WHERE s.code IN (
    SELECT l.state_code
    FROM payroll.work_location AS l
    WHERE l.business_id = %(business_id)s
    UNION
    SELECT r.state_code
    FROM payroll.employee_residence AS r
    WHERE r.business_id = %(business_id)s);

-- Indiana's counties tax incomes too.
INSERT INTO payroll.tax_jurisdiction
    (business_id, tax_jurisdiction_id, parent_jurisdiction_id, code, name, level, fips_code,
     supplemental_rate, effective_from)
SELECT j.business_id, md5('place IN-LAKE ' || %(business_id)s)::uuid, j.tax_jurisdiction_id,
       'IN-LAKE', 'Lake', 'county', '18089', 0.015, '2018-01-01'
FROM payroll.tax_jurisdiction AS j
WHERE j.business_id = %(business_id)s AND j.code = 'IN';

INSERT INTO payroll.tax_code
    (business_id, tax_code_id, tax_jurisdiction_id, code, name, tax_kind, payer,
     wage_base_amount, is_experience_rated, filing_form)
SELECT j.business_id, md5('tax ' || c.code || %(business_id)s)::uuid, j.tax_jurisdiction_id,
       c.code, c.name, c.kind, c.payer, c.base, c.kind = 'sui', c.form
FROM (VALUES
    ('US', 'FIT', 'Federal income tax', 'income', 'employee', NULL, '941'),
    ('US', 'SS', 'Social security', 'social_security', 'both', 168600, '941'),
    ('US', 'MED', 'Medicare', 'medicare', 'both', NULL, '941'),
    ('US', 'ADDMED', 'Additional Medicare', 'additional_medicare', 'employee', NULL, '941'),
    ('US', 'FUTA', 'Federal unemployment', 'futa', 'employer', 7000, '940'),
    ('AZ', 'AZ-IT', 'Arizona income tax', 'income', 'employee', NULL, 'A1-QRT'),
    ('AZ', 'AZ-SUI', 'Arizona unemployment', 'sui', 'employer', 8000, 'UC-018'),
    ('CA', 'CA-IT', 'California personal income tax', 'income', 'employee', NULL, 'DE-9'),
    ('CA', 'CA-SUI', 'California unemployment', 'sui', 'employer', 7000, 'DE-9'),
    ('CA', 'CA-SDI', 'California disability insurance', 'sdi', 'employee', NULL, 'DE-9'),
    ('CA', 'CA-ETT', 'California employment training', 'employment_training', 'employer', 7000,
     'DE-9'),
    ('CO', 'CO-IT', 'Colorado income tax', 'income', 'employee', NULL, 'DR-1094'),
    ('CO', 'CO-SUI', 'Colorado unemployment', 'sui', 'employer', 27200, 'UITR-1'),
    ('FL', 'FL-SUI', 'Florida reemployment', 'sui', 'employer', 7000, 'RT-6'),
    ('GA', 'GA-IT', 'Georgia income tax', 'income', 'employee', NULL, 'G-7'),
    ('GA', 'GA-SUI', 'Georgia unemployment', 'sui', 'employer', 9500, 'DOL-4N'),
    ('IL', 'IL-IT', 'Illinois income tax', 'income', 'employee', NULL, 'IL-941'),
    ('IL', 'IL-SUI', 'Illinois unemployment', 'sui', 'employer', 13590, 'UI-3/40'),
    ('IN', 'IN-IT', 'Indiana income tax', 'income', 'employee', NULL, 'WH-3'),
    ('IN', 'IN-SUI', 'Indiana unemployment', 'sui', 'employer', 9500, 'UC-1'),
    ('IN-LAKE', 'IN-LAKE-IT', 'Lake County income tax', 'local_income', 'employee', NULL,
     'WH-3'),
    ('MA', 'MA-IT', 'Massachusetts income tax', 'income', 'employee', NULL, 'M-941'),
    ('MA', 'MA-SUI', 'Massachusetts unemployment', 'sui', 'employer', 15000, '1700-HI'),
    ('MA', 'MA-PFML', 'Massachusetts family and medical leave', 'pfml', 'both', NULL, 'PFML'),
    ('MI', 'MI-IT', 'Michigan income tax', 'income', 'employee', NULL, '5080'),
    ('MI', 'MI-SUI', 'Michigan unemployment', 'sui', 'employer', 9500, 'UIA-1028'),
    ('NC', 'NC-IT', 'North Carolina income tax', 'income', 'employee', NULL, 'NC-5Q'),
    ('NC', 'NC-SUI', 'North Carolina unemployment', 'sui', 'employer', 32600, 'NCUI-101'),
    ('NY', 'NY-IT', 'New York income tax', 'income', 'employee', NULL, 'NYS-45'),
    ('NY', 'NY-SUI', 'New York unemployment', 'sui', 'employer', 12800, 'NYS-45'),
    ('OH', 'OH-IT', 'Ohio income tax', 'income', 'employee', NULL, 'IT-941'),
    ('OH', 'OH-SUI', 'Ohio unemployment', 'sui', 'employer', 9000, 'JFS-20125'),
    ('PA', 'PA-IT', 'Pennsylvania income tax', 'income', 'employee', NULL, 'PA-W3'),
    ('PA', 'PA-SUI', 'Pennsylvania unemployment', 'sui', 'both', 10000, 'UC-2'),
    ('TX', 'TX-SUI', 'Texas unemployment', 'sui', 'employer', 9000, 'C-3'),
    ('WA', 'WA-SUI', 'Washington unemployment', 'sui', 'employer', 72800, '5208'),
    ('WA', 'WA-PFML', 'Washington family and medical leave', 'pfml', 'both', 176100, 'PFML'),
    ('WI', 'WI-IT', 'Wisconsin income tax', 'income', 'employee', NULL, 'WT-7'),
    ('WI', 'WI-SUI', 'Wisconsin unemployment', 'sui', 'employer', 14000, 'UCT-101')
) AS c (place, code, name, kind, payer, base, form)
JOIN payroll.tax_jurisdiction AS j
    ON j.business_id = %(business_id)s::uuid AND j.code = c.place;

-- What each of them says from when: the first year also for what was before it.
INSERT INTO payroll.tax_rate_version
    (business_id, tax_rate_version_id, tax_code_id, tax_year, effective_from, effective_until,
     rate, employer_rate, wage_base_amount, standard_deduction_amount, allowance_amount, formula,
     parameters, published_reference, checksum)
SELECT c.business_id, md5('version ' || v.code || v.year || %(business_id)s)::uuid, c.tax_code_id,
       v.year,
       CASE WHEN v.is_first THEN least(make_date(v.year, 1, 1), %(as_of)s::date - 1200)
            ELSE make_date(v.year, 1, 1) END,
       make_date(v.until, 1, 1), v.rate, v.employer_rate, v.base, v.deduction, v.allowance,
       v.formula, v.parameters::jsonb, v.reference || ' ' || v.year,
       md5(concat_ws('|', v.code, v.year, v.rate, v.employer_rate, v.base, v.deduction,
                     v.allowance, v.parameters))
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY x.code ORDER BY x.year) = 1 AS is_first,
           lead(x.year) OVER (PARTITION BY x.code ORDER BY x.year) AS until
    FROM (VALUES
        ('FIT', 2024, 0, 0, NULL, 0, 4300, 'bracket',
         '{"adjustment": {"married_joint": 12900, "other": 8600}, "supplemental_over": 1000000,
           "supplemental_over_rate": 0.37}',
         'IRS Publication 15-T'),
        ('FIT', 2025, 0, 0, NULL, 0, 4300, 'bracket',
         '{"adjustment": {"married_joint": 12900, "other": 8600}, "supplemental_over": 1000000,
           "supplemental_over_rate": 0.37}',
         'IRS Publication 15-T'),
        ('FIT', 2026, 0, 0, NULL, 0, 4300, 'bracket',
         '{"adjustment": {"married_joint": 12900, "other": 8600}, "supplemental_over": 1000000,
           "supplemental_over_rate": 0.37}',
         'IRS Publication 15-T'),
        ('SS', 2024, 0.062, 0.062, 168600, 0, 0, 'flat', '{}', 'SSA contribution base'),
        ('SS', 2025, 0.062, 0.062, 176100, 0, 0, 'flat', '{}', 'SSA contribution base'),
        ('SS', 2026, 0.062, 0.062, 184500, 0, 0, 'flat', '{}', 'SSA contribution base'),
        ('MED', 2024, 0.0145, 0.0145, NULL, 0, 0, 'flat', '{}', 'IRS Publication 15'),
        ('ADDMED', 2024, 0.009, 0, NULL, 0, 0, 'flat', '{"wages_above": 200000}',
         'IRS Publication 15'),
        ('FUTA', 2024, 0, 0.006, 7000, 0, 0, 'flat', '{}', 'IRS Form 940 instructions'),
        ('AZ-IT', 2024, 0.02, 0, NULL, 0, 0, 'flat', '{}', 'Form A-4'),
        ('AZ-SUI', 2024, 0, 0, 8000, 0, 0, 'flat', '{}', 'AZ DES'),
        ('CA-IT', 2024, 0, 0, NULL, 5363, 0, 'bracket', '{"allowance_credit": 158.40}',
         'EDD DE 44 Method B'),
        ('CA-IT', 2025, 0, 0, NULL, 5540, 0, 'bracket', '{"allowance_credit": 163.90}',
         'EDD DE 44 Method B'),
        ('CA-IT', 2026, 0, 0, NULL, 5706, 0, 'bracket', '{"allowance_credit": 168.30}',
         'EDD DE 44 Method B'),
        ('CA-SUI', 2024, 0, 0, 7000, 0, 0, 'flat', '{}', 'EDD DE 2088'),
        ('CA-SDI', 2024, 0.011, 0, NULL, 0, 0, 'flat', '{}', 'EDD DE 202'),
        ('CA-SDI', 2025, 0.012, 0, NULL, 0, 0, 'flat', '{}', 'EDD DE 202'),
        ('CA-SDI', 2026, 0.013, 0, NULL, 0, 0, 'flat', '{}', 'EDD DE 202'),
        ('CA-ETT', 2024, 0, 0.001, 7000, 0, 0, 'flat', '{}', 'EDD DE 202'),
        ('CO-IT', 2024, 0.044, 0, NULL, 0, 0, 'flat', '{}', 'DR 1098'),
        ('CO-SUI', 2024, 0, 0, 27200, 0, 0, 'flat', '{}', 'CDLE'),
        ('FL-SUI', 2024, 0, 0, 7000, 0, 0, 'flat', '{}', 'FL DOR'),
        ('GA-IT', 2024, 0.0539, 0, NULL, 12000, 0, 'flat', '{}', 'GA employer tax guide'),
        ('GA-SUI', 2024, 0, 0, 9500, 0, 0, 'flat', '{}', 'GA DOL'),
        ('IL-IT', 2024, 0.0495, 0, NULL, 0, 2775, 'flat', '{}', 'Booklet IL-700-T'),
        ('IL-IT', 2025, 0.0495, 0, NULL, 0, 2850, 'flat', '{}', 'Booklet IL-700-T'),
        ('IL-IT', 2026, 0.0495, 0, NULL, 0, 2925, 'flat', '{}', 'Booklet IL-700-T'),
        ('IL-SUI', 2024, 0, 0, 13590, 0, 0, 'flat', '{}', 'IDES'),
        ('IL-SUI', 2025, 0, 0, 13916, 0, 0, 'flat', '{}', 'IDES'),
        ('IL-SUI', 2026, 0, 0, 14250, 0, 0, 'flat', '{}', 'IDES'),
        ('IN-IT', 2024, 0.0305, 0, NULL, 0, 1000, 'flat', '{}', 'Departmental Notice 1'),
        ('IN-IT', 2025, 0.03, 0, NULL, 0, 1000, 'flat', '{}', 'Departmental Notice 1'),
        ('IN-IT', 2026, 0.0295, 0, NULL, 0, 1000, 'flat', '{}', 'Departmental Notice 1'),
        ('IN-SUI', 2024, 0, 0, 9500, 0, 0, 'flat', '{}', 'Indiana DWD'),
        ('IN-LAKE-IT', 2024, 0.015, 0, NULL, 0, 1000, 'flat', '{}', 'Departmental Notice 1'),
        ('MA-IT', 2024, 0.05, 0, NULL, 0, 1000, 'flat', '{}', 'Circular M'),
        ('MA-SUI', 2024, 0, 0, 15000, 0, 0, 'flat', '{}', 'MA DUA'),
        ('MA-PFML', 2024, 0.0046, 0.0042, 168600, 0, 0, 'flat', '{}', 'MA DFML'),
        ('MI-IT', 2024, 0.0425, 0, NULL, 0, 5600, 'flat', '{}', 'Form 446-I'),
        ('MI-SUI', 2024, 0, 0, 9500, 0, 0, 'flat', '{}', 'MI UIA'),
        ('NC-IT', 2024, 0.0460, 0, NULL, 12750, 0, 'flat', '{}', 'NC-30'),
        ('NC-IT', 2025, 0.0435, 0, NULL, 12750, 0, 'flat', '{}', 'NC-30'),
        ('NC-IT', 2026, 0.0409, 0, NULL, 12750, 0, 'flat', '{}', 'NC-30'),
        ('NC-SUI', 2024, 0, 0, 31400, 0, 0, 'flat', '{}', 'NC DES'),
        ('NY-IT', 2024, 0, 0, NULL, 7400, 1000, 'bracket', '{}', 'NYS-50-T-NYS'),
        ('NY-SUI', 2024, 0, 0, 12500, 0, 0, 'flat', '{}', 'NY DOL'),
        ('OH-IT', 2024, 0, 0, NULL, 0, 650, 'bracket', '{}', 'Ohio withholding tables'),
        ('OH-SUI', 2024, 0, 0, 9000, 0, 0, 'flat', '{}', 'ODJFS'),
        ('PA-IT', 2024, 0.0307, 0, NULL, 0, 0, 'flat',
         '{"taxes_deferrals": true}', 'REV-415'),
        ('PA-SUI', 2024, 0.0007, 0, 10000, 0, 0, 'flat', '{}', 'PA UC'),
        ('TX-SUI', 2024, 0, 0, 9000, 0, 0, 'flat', '{}', 'TWC'),
        ('WA-SUI', 2024, 0, 0, 68500, 0, 0, 'flat', '{}', 'WA ESD'),
        ('WA-PFML', 2024, 0.0053, 0.0021, 168600, 0, 0, 'flat', '{}', 'WA ESD'),
        ('WI-IT', 2024, 0.053, 0, NULL, 9000, 700, 'flat', '{}', 'Publication W-166'),
        ('WI-SUI', 2024, 0, 0, 14000, 0, 0, 'flat', '{}', 'WI DWD')
    ) AS x (code, year, rate, employer_rate, base, deduction, allowance, formula, parameters,
            reference)
) AS v
JOIN payroll.tax_code AS c ON c.business_id = %(business_id)s::uuid AND c.code = v.code;

-- The tables: how much is not taxed, and where each rate ends above that. Who ticked two jobs has
-- half of the widths and no deduction by the form.
INSERT INTO payroll.tax_bracket
    (business_id, tax_bracket_id, tax_rate_version_id, filing_status, step2_checked, bracket_no,
     from_amount, to_amount, base_tax_amount, marginal_rate)
SELECT %(business_id)s::uuid,
       md5(concat_ws(' ', 'bracket', b.code, b.year, b.status, b.step2, b.number,
                     %(business_id)s))::uuid,
       v.tax_rate_version_id, b.status, b.step2, b.number, b.foot, b.top,
       round(sum(b.inside) OVER (PARTITION BY b.code, b.year, b.status, b.step2
                                 ORDER BY b.number) - b.inside, 2), b.rate
FROM (
    SELECT e.*, coalesce(round((e.top - e.foot) * e.rate, 4), 0) AS inside
    FROM (
        SELECT t.code, t.year, t.status, t.step2, n.number,
               CASE n.number WHEN 1 THEN 0
                             ELSE t.untaxed + coalesce(t.ends[n.number - 2], 0) * t.share END
                   AS foot,
               CASE WHEN n.number <= cardinality(t.rates)
                    THEN t.untaxed + coalesce(t.ends[n.number - 1], 0) * t.share END AS top,
               CASE n.number WHEN 1 THEN 0 ELSE t.rates[n.number - 1] END AS rate
        FROM (
            SELECT f.code, f.year, f.status, s.step2, f.ends, f.rates,
                   CASE WHEN s.step2 THEN f.deduction / 2 ELSE f.untaxed END AS untaxed,
                   CASE WHEN s.step2 THEN 0.5 ELSE 1 END AS share
            FROM (VALUES
                ('FIT', 2024, 'single', 6000, 14600,
                 ARRAY[11600, 47150, 100525, 191950, 243725, 609350]::numeric[],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]::numeric[]),
                ('FIT', 2024, 'married_joint', 16300, 29200,
                 ARRAY[23200, 94300, 201050, 383900, 487450, 731200],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2024, 'head_of_household', 13300, 21900,
                 ARRAY[16550, 63100, 100500, 191950, 243700, 609350],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2025, 'single', 6400, 15000,
                 ARRAY[11925, 48475, 103350, 197300, 250525, 626350],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2025, 'married_joint', 17100, 30000,
                 ARRAY[23850, 96950, 206700, 394600, 501050, 751600],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2025, 'head_of_household', 13900, 22500,
                 ARRAY[17000, 64850, 103350, 197300, 250500, 626350],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2026, 'single', 7500, 16100,
                 ARRAY[12400, 50400, 105700, 201775, 256225, 640600],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2026, 'married_joint', 19300, 32200,
                 ARRAY[24800, 100800, 211400, 403550, 512450, 768700],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37]),
                ('FIT', 2026, 'head_of_household', 15550, 24150,
                 ARRAY[17700, 67450, 105700, 201750, 256200, 640600],
                 ARRAY[0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37])
            ) AS f (code, year, status, untaxed, deduction, ends, rates)
            CROSS JOIN (VALUES (false), (true)) AS s (step2)
        ) AS t
        CROSS JOIN LATERAL generate_series(1, cardinality(t.rates) + 1) AS n (number)
        UNION ALL
        SELECT t.code, t.year, t.status, false, n.number,
               coalesce(t.ends[n.number - 1], 0), t.ends[n.number], t.rates[n.number]
        FROM (VALUES
            ('CA-IT', 2024, 'any',
             ARRAY[10412, 24684, 38959, 54081, 68350, 349137, 418961, 698271]::numeric[],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]::numeric[]),
            ('CA-IT', 2025, 'any',
             ARRAY[10756, 25499, 40245, 55866, 70606, 360659, 432787, 721314],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]),
            ('CA-IT', 2026, 'any',
             ARRAY[11079, 26264, 41452, 57542, 72724, 371479, 445771, 742953],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]),
            ('CA-IT', 2024, 'married_joint',
             ARRAY[20824, 49368, 77918, 108162, 136700, 698274, 837922, 1396542],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]),
            ('CA-IT', 2025, 'married_joint',
             ARRAY[21512, 50998, 80490, 111732, 141212, 721318, 865574, 1442628],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]),
            ('CA-IT', 2026, 'married_joint',
             ARRAY[22158, 52528, 82904, 115084, 145448, 742958, 891542, 1485906],
             ARRAY[0.011, 0.022, 0.044, 0.066, 0.088, 0.1023, 0.1133, 0.1243, 0.1353]),
            ('NY-IT', 2024, 'any', ARRAY[8500, 11700, 13900, 80650, 96800, 107650],
             ARRAY[0.04, 0.045, 0.0525, 0.055, 0.06, 0.0714, 0.0764]),
            ('OH-IT', 2024, 'any', ARRAY[26050, 100000], ARRAY[0, 0.0275, 0.035])
        ) AS t (code, year, status, ends, rates)
        CROSS JOIN LATERAL generate_series(1, cardinality(t.rates)) AS n (number)
    ) AS e
) AS b
JOIN payroll.tax_code AS c ON c.business_id = %(business_id)s::uuid AND c.code = b.code
JOIN payroll.tax_rate_version AS v
    ON v.business_id = c.business_id AND v.tax_code_id = c.tax_code_id AND v.tax_year = b.year
ORDER BY b.code, b.year, b.status, b.step2, b.number;

-- Registrations: with the federation, and for income tax and unemployment where people work.
INSERT INTO payroll.employer_tax_account
    (business_id, employer_tax_account_id, employer_entity_id, tax_jurisdiction_id, tax_code_id,
     account_number, status, experience_rate, experience_rate_from, deposit_frequency,
     filing_frequency, power_of_attorney_on, eftps_enrolled, third_party_access_on)
SELECT e.business_id, md5(concat_ws(' ', 'account', c.code, e.employer_entity_id))::uuid,
       e.employer_entity_id, j.tax_jurisdiction_id,
       CASE WHEN j.level <> 'federal' THEN c.tax_code_id END,
       CASE WHEN j.level = 'federal' THEN coalesce(e.ein, 'APPLIED')
            ELSE c.code || '-' || lpad((abs(hashtextextended(
                     c.code || e.employer_entity_id, 0)) %% 10000000)::text, 7, '0') END,
       'active',
       CASE WHEN c.tax_kind = 'sui'
            THEN 0.0085 + abs(hashtextextended('rate ' || c.code || e.employer_entity_id, 0))
                          %% 270 * 0.0001 END,
       CASE WHEN c.tax_kind = 'sui' THEN %(as_of)s::date - 1200 END,
       CASE WHEN j.level = 'federal' THEN e.deposit_frequency
            WHEN c.tax_kind = 'sui' THEN 'quarterly' ELSE 'monthly' END,
       'quarterly', %(as_of)s::date - 900, j.level = 'federal', %(as_of)s::date - 890
FROM payroll.employer_entity AS e
JOIN payroll.tax_code AS c
    ON c.business_id = e.business_id AND c.tax_kind IN ('income', 'sui', 'local_income')
JOIN payroll.tax_jurisdiction AS j
    ON j.business_id = c.business_id AND j.tax_jurisdiction_id = c.tax_jurisdiction_id
LEFT JOIN payroll.tax_jurisdiction AS p
    ON p.business_id = j.business_id AND p.tax_jurisdiction_id = j.parent_jurisdiction_id
WHERE e.business_id = %(business_id)s
  AND (j.level = 'federal' OR EXISTS (
      SELECT
      FROM payroll.employee AS x
      JOIN payroll.work_location AS l
          ON l.business_id = x.business_id
         AND (l.work_location_id = x.primary_work_location_id OR l.work_location_id IN (
                  SELECT a.work_location_id
                  FROM payroll.job_assignment AS a
                  WHERE a.business_id = x.business_id AND a.employee_id = x.employee_id))
      WHERE x.business_id = e.business_id AND x.employer_entity_id = e.employer_entity_id
        AND l.state_code IN (j.code, p.code)));

-- States credit each other's tax; some have an agreement that a form claims.
INSERT INTO payroll.tax_reciprocity
    (business_id, tax_reciprocity_id, work_jurisdiction_id, resident_jurisdiction_id,
     agreement_kind, certificate_form, withhold_for, effective_from, threshold_days, notes)
SELECT w.business_id, md5(concat_ws(' ', 'agreement', w.code, h.code, %(business_id)s))::uuid,
       w.tax_jurisdiction_id, h.tax_jurisdiction_id,
       CASE WHEN f.form IS NULL THEN 'credit' ELSE 'full' END, f.form,
       CASE WHEN f.form IS NULL THEN 'both' ELSE 'resident' END, '2018-01-01', 0,
       CASE WHEN f.form IS NULL THEN 'The home credits what the work state withholds'
            ELSE 'The home taxes alone, by certificate' END
FROM payroll.tax_jurisdiction AS w
JOIN payroll.tax_jurisdiction AS h
    ON h.business_id = w.business_id AND h.level = 'state' AND h.code <> w.code
   AND EXISTS (SELECT FROM payroll.tax_code AS c
               WHERE c.business_id = h.business_id AND c.tax_kind = 'income'
                 AND c.tax_jurisdiction_id = h.tax_jurisdiction_id)
LEFT JOIN (VALUES
    ('IL', 'WI', 'IL-W-5-NR'), ('IL', 'MI', 'IL-W-5-NR'), ('IN', 'MI', 'WH-47'),
    ('IN', 'OH', 'WH-47'), ('IN', 'PA', 'WH-47'), ('IN', 'WI', 'WH-47'), ('MI', 'IL', 'MI-W4'),
    ('MI', 'IN', 'MI-W4'), ('MI', 'OH', 'MI-W4'), ('MI', 'WI', 'MI-W4'), ('OH', 'IN', 'IT-4NR'),
    ('OH', 'MI', 'IT-4NR'), ('OH', 'PA', 'IT-4NR'), ('PA', 'IN', 'REV-419'),
    ('PA', 'OH', 'REV-419'), ('WI', 'IL', 'W-220'), ('WI', 'IN', 'W-220'), ('WI', 'MI', 'W-220')
) AS f (work_state, home_state, form) ON f.work_state = w.code AND f.home_state = h.code
WHERE w.business_id = %(business_id)s AND w.level = 'state'
  AND EXISTS (SELECT FROM payroll.tax_code AS c
              WHERE c.business_id = w.business_id AND c.tax_kind = 'income'
                AND c.tax_jurisdiction_id = w.tax_jurisdiction_id);

-- Certificates, signed on the first day: the W-4, and the state's where there is an income tax.
INSERT INTO payroll.withholding_election
    (business_id, withholding_election_id, employee_id, tax_jurisdiction_id, form_version,
     filing_status, step2_multiple_jobs, dependents_amount, other_income_amount,
     deductions_amount, extra_withholding_amount, allowances, signed_at, effective_from)
SELECT e.business_id, md5('w4 ' || j.code || e.employee_id)::uuid, e.employee_id,
       j.tax_jurisdiction_id, f.form, e.status, e.place %% 8 = 3 AND f.form = 'w4_2020',
       CASE WHEN f.form = 'w4_2020' AND e.place %% 10 IN (2, 5, 7)
            THEN (1 + e.place %% 3) * 2000 ELSE 0 END,
       CASE WHEN f.form = 'w4_2020' AND e.place %% 40 = 9 THEN 2400 ELSE 0 END,
       CASE WHEN f.form = 'w4_2020' AND e.place %% 25 = 4 THEN 5000 ELSE 0 END,
       CASE WHEN j.level = 'federal' AND e.place %% 12 = 1 THEN 25 ELSE 0 END,
       CASE f.form WHEN 'w4_2020' THEN 0 ELSE 1 + e.place %% 3 END,
       e.hired_on::timestamp AT TIME ZONE 'UTC' + interval '15 hours', e.hired_on
FROM (
    SELECT x.business_id, x.employee_id, min(s.hired_on) AS hired_on, n.place,
           CASE WHEN n.place %% 100 < 48 THEN 'single' WHEN n.place %% 100 < 84
                THEN 'married_joint' WHEN n.place %% 100 < 96 THEN 'head_of_household'
                ELSE 'married_separate' END AS status,
           array_agg(DISTINCT l.state_code) || array_agg(DISTINCT r.state_code) AS states
    FROM payroll.employee AS x
    JOIN payroll.employment_spell AS s
        ON s.business_id = x.business_id AND s.employee_id = x.employee_id
    JOIN payroll.work_location AS l
        ON l.business_id = x.business_id AND l.work_location_id = x.primary_work_location_id
    LEFT JOIN payroll.employee_residence AS r
        ON r.business_id = x.business_id AND r.employee_id = x.employee_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended('w4 ' || x.employee_id, 0) %% 1000)::integer AS place
    ) AS n
    WHERE x.business_id = %(business_id)s
    GROUP BY x.business_id, x.employee_id, n.place
) AS e
JOIN payroll.tax_jurisdiction AS j
    ON j.business_id = e.business_id
   AND (j.level = 'federal' OR (j.level = 'state' AND j.code = ANY (e.states)))
   AND EXISTS (SELECT FROM payroll.tax_code AS c
               WHERE c.business_id = j.business_id AND c.tax_kind = 'income'
                 AND c.tax_jurisdiction_id = j.tax_jurisdiction_id)
CROSS JOIN LATERAL (
    SELECT CASE WHEN j.level = 'state' THEN 'state'
                WHEN e.hired_on < '2020-01-01' THEN 'w4_pre_2020' ELSE 'w4_2020' END AS form
) AS f
-- A few never handed in the federal one.
WHERE e.hired_on IS NOT NULL AND (j.level = 'state' OR e.place %% 50 <> 17);

-- A marriage, a child, a second job: one in seven filed anew within the year.
INSERT INTO payroll.withholding_election
    (business_id, withholding_election_id, employee_id, tax_jurisdiction_id, form_version,
     filing_status, step2_multiple_jobs, dependents_amount, is_exempt, exempt_expires_on,
     signed_at, effective_from)
SELECT w.business_id, md5('new w4 ' || w.employee_id)::uuid, w.employee_id,
       w.tax_jurisdiction_id, 'w4_2020',
       CASE WHEN n.place %% 2 = 0 THEN 'single' ELSE 'married_joint' END, n.place = 4,
       CASE WHEN n.place IN (1, 3) THEN 2000 ELSE 0 END, n.place = 6,
       CASE WHEN n.place = 6
            THEN make_date(extract(year FROM d.day)::integer + 1, 2, 15) END,
       d.day::timestamp AT TIME ZONE 'UTC' - interval '9 hours', d.day
FROM payroll.withholding_election AS w
JOIN payroll.tax_jurisdiction AS j
    ON j.business_id = w.business_id AND j.tax_jurisdiction_id = w.tax_jurisdiction_id
   AND j.level = 'federal'
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended('new w4 ' || w.employee_id, 0) %% 49)::integer AS place
) AS n
CROSS JOIN LATERAL (
    SELECT date_trunc('month', %(as_of)s::date - 40 - n.place * 45)::date AS day
) AS d
WHERE w.business_id = %(business_id)s AND n.place < 7 AND w.effective_from < d.day - 30;
