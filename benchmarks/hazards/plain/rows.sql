INSERT INTO shop.business (business_id, name) VALUES
    ('00000000-0000-4000-8000-00000000000a', 'Ada''s'),
    ('00000000-0000-4000-8000-00000000000b', 'Bob''s');
INSERT INTO shop.member (business_id, member_id, role)
    SELECT b.business_id, gen_random_uuid(), 'owner' FROM shop.business AS b;
INSERT INTO shop.customer (business_id, name)
    SELECT b.business_id, 'customer ' || n
    FROM shop.business AS b, generate_series(1, 3) AS n;
INSERT INTO shop.purchase (business_id, customer_id, label, amount)
    SELECT c.business_id, c.customer_id, c.business_id || ' ' || c.name, 10
    FROM shop.customer AS c;
INSERT INTO shop.purchase_line (business_id, purchase_id, line_number, article)
    SELECT p.business_id, p.purchase_id, 1, 'tea' FROM shop.purchase AS p;
INSERT INTO shop.visit (business_id, page)
    SELECT b.business_id, '/' FROM shop.business AS b, generate_series(1, 3);
REFRESH MATERIALIZED VIEW shop.purchase_total;
