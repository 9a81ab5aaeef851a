-- An accreditation report: how far learners mastered each outcome, term by term.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT a.business_id, a.term, o.code, o.statement, p.title AS program, a.learners, a.beginning,
       a.developing, a.proficient, a.advanced, a.mastered_pct, a.average_pct
FROM courses.v_outcome_attainment AS a
JOIN courses.learning_outcome AS o
    ON o.business_id = %(business_id)s AND o.learning_outcome_id = a.learning_outcome_id
LEFT JOIN courses.program AS p
    ON p.business_id = %(business_id)s AND p.program_id = a.program_id
WHERE a.business_id = %(business_id)s
ORDER BY a.term DESC, a.learners DESC, o.code, program
LIMIT 200
