/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.segment (
    business_id           uuid              NOT NULL,
    segment_id            uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    segment_code          system_core.code  NOT NULL,
    display_name          text              NOT NULL,
    segment_kind          text              NOT NULL,
    rule_doc              jsonb,
    refresh_every_minutes integer,
    refreshed_at          timestamptz,
    member_count          integer           NOT NULL DEFAULT 0,
    estimated_value       system_core.money,
    is_active             boolean           NOT NULL DEFAULT true,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, segment_id),
    UNIQUE (business_id, segment_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT segment_kind_known CHECK (segment_kind IN ('rule', 'manual', 'rfm', 'predicted')),
    CONSTRAINT segment_segment_kind_iff
        CHECK ((rule_doc IS NOT NULL) = (segment_kind IN ('rule', 'predicted')))
);

COMMENT ON TABLE ret.segment IS 'A customer segment, by rule or by hand.';

ALTER TABLE ret.segment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.segment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.segment TO app_user;
GRANT SELECT ON ret.segment TO app_readonly;

CREATE TRIGGER segment_touch
    BEFORE UPDATE ON ret.segment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.segment_member (
    business_id       uuid                 NOT NULL,
    segment_member_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    segment_id        uuid                 NOT NULL,
    customer_id       uuid                 NOT NULL,
    entered_at        timestamptz          NOT NULL,
    left_at           timestamptz,
    entry_reason      text,
    score             numeric(9, 4),
    is_control_group  boolean              NOT NULL DEFAULT false,
    snapshot_value    system_core.quantity,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, segment_member_id),
    UNIQUE (business_id, segment_id, customer_id, entered_at),
    FOREIGN KEY (business_id, segment_id) REFERENCES ret.segment (business_id, segment_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT segment_member_entry_reason_known
        CHECK (entry_reason IN ('rule', 'manual', 'import', 'prediction'))
);

COMMENT ON TABLE ret.segment_member IS 'Customer in a segment, with entry and exit.';

-- One open membership per segment and customer.
CREATE UNIQUE INDEX segment_member_segment_id_customer_id_idx
    ON ret.segment_member (business_id, segment_id, customer_id)
    WHERE left_at IS NULL;

-- FK: the segment members of a customer.
CREATE INDEX segment_member_customer_idx ON ret.segment_member (business_id, customer_id);

ALTER TABLE ret.segment_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.segment_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.segment_member TO app_user;
GRANT SELECT ON ret.segment_member TO app_readonly;

CREATE TRIGGER segment_member_touch
    BEFORE UPDATE ON ret.segment_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.campaign (
    business_id      uuid                   NOT NULL,
    campaign_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    segment_id       uuid,
    promotion_id     uuid,
    campaign_code    system_core.code       NOT NULL,
    title            text                   NOT NULL,
    campaign_kind    text                   NOT NULL,
    contact_channel  text                   NOT NULL,
    subject_line     text,
    variants_doc     jsonb,
    control_pct      system_core.percentage,
    scheduled_at     timestamptz,
    started_at       timestamptz            NOT NULL,
    finished_at      timestamptz,
    budget_amount    system_core.money      NOT NULL DEFAULT 0,
    attribution_days integer,
    state            text                   NOT NULL DEFAULT 'draft',
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_id),
    UNIQUE (business_id, campaign_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, segment_id) REFERENCES ret.segment (business_id, segment_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT campaign_kind_known
        CHECK (campaign_kind IN ('broadcast', 'abandoned_cart', 'welcome', 'win_back', 'restock',
                                 'birthday', 'price_drop')),
    CONSTRAINT campaign_contact_channel_known
        CHECK (contact_channel IN ('email', 'sms', 'push', 'post')),
    CONSTRAINT campaign_state_known
        CHECK (state IN ('draft', 'scheduled', 'running', 'paused', 'finished', 'cancelled')),
    CONSTRAINT campaign_control_pct_bounded CHECK (control_pct BETWEEN 0 AND 50),
    CONSTRAINT campaign_finished_at_follows_started_at CHECK (finished_at >= started_at)
);

COMMENT ON TABLE ret.campaign IS
    'A send or automated journey (abandoned cart, win-back, restock).';

-- FK: the campaigns of a segment.
CREATE INDEX campaign_segment_idx
    ON ret.campaign (business_id, segment_id)
    WHERE segment_id IS NOT NULL;

-- FK: the campaigns of a promotion.
CREATE INDEX campaign_promotion_idx
    ON ret.campaign (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

ALTER TABLE ret.campaign ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.campaign TO app_user;
GRANT SELECT ON ret.campaign TO app_readonly;

CREATE TRIGGER campaign_touch
    BEFORE UPDATE ON ret.campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.campaign_message (
    business_id         uuid              NOT NULL,
    campaign_message_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    campaign_id         uuid              NOT NULL,
    customer_id         uuid              NOT NULL,
    coupon_id           uuid,
    sent_at             timestamptz       NOT NULL DEFAULT now(),
    variant_code        system_core.code,
    state               text              NOT NULL DEFAULT 'queued',
    delivered_at        timestamptz,
    opened_at           timestamptz       NOT NULL,
    clicked_at          timestamptz,
    link_clicked        text,
    provider_message_id text,
    cost_amount         system_core.money NOT NULL DEFAULT 0,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_message_id, sent_at),
    FOREIGN KEY (business_id, campaign_id) REFERENCES ret.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    CONSTRAINT campaign_message_state_known
        CHECK (state IN ('queued', 'sent', 'delivered', 'bounced', 'opened', 'clicked',
                         'unsubscribed', 'complained', 'suppressed')),
    CONSTRAINT campaign_message_delivered_at_follows_sent_at CHECK (delivered_at >= sent_at)
) PARTITION BY RANGE (sent_at);

COMMENT ON TABLE ret.campaign_message IS
    'One message to one customer and what became of it; append only.';
-- RULE suppressed when consent is missing

-- FK: the campaign messages of a campaign.
CREATE INDEX campaign_message_campaign_idx ON ret.campaign_message (business_id, campaign_id);

-- FK: the campaign messages of a customer.
CREATE INDEX campaign_message_customer_idx ON ret.campaign_message (business_id, customer_id);

-- FK: the campaign messages of a coupon.
CREATE INDEX campaign_message_coupon_idx
    ON ret.campaign_message (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE ret.campaign_message ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_message
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.campaign_message TO app_user;
GRANT SELECT ON ret.campaign_message TO app_readonly;

CREATE TRIGGER campaign_message_append_only
    BEFORE UPDATE OR DELETE ON ret.campaign_message
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.campaign_message');

CREATE TABLE ret.campaign_message_default PARTITION OF ret.campaign_message DEFAULT;
ALTER TABLE ret.campaign_message_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_message_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.campaign_message', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.campaign_conversion (
    business_id            uuid              NOT NULL,
    campaign_conversion_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    campaign_id            uuid              NOT NULL,
    sales_order_id         uuid              NOT NULL,
    customer_id            uuid              NOT NULL,
    attributed_at          timestamptz,
    attribution_model      text              NOT NULL,
    credit_share           numeric(9, 4),
    touch_count            integer           NOT NULL DEFAULT 0,
    revenue_credited       system_core.money,
    margin_credited        system_core.money,
    hours_to_convert       numeric(9, 2),
    is_incremental         boolean           NOT NULL DEFAULT false,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_conversion_id),
    UNIQUE (business_id, campaign_id, sales_order_id, attribution_model),
    FOREIGN KEY (business_id, campaign_id) REFERENCES ret.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT campaign_conversion_attribution_model_known
        CHECK (attribution_model IN ('last_touch', 'first_touch', 'linear', 'time_decay'))
);

COMMENT ON TABLE ret.campaign_conversion IS
    'An order credited to a campaign, with the model used.';
-- RULE credit_share > 0 and <= 1

-- FK: the campaign conversions of a sales order.
CREATE INDEX campaign_conversion_sales_order_idx
    ON ret.campaign_conversion (business_id, sales_order_id);

-- FK: the campaign conversions of a customer.
CREATE INDEX campaign_conversion_customer_idx
    ON ret.campaign_conversion (business_id, customer_id);

ALTER TABLE ret.campaign_conversion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_conversion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.campaign_conversion TO app_user;
GRANT SELECT ON ret.campaign_conversion TO app_readonly;

CREATE TRIGGER campaign_conversion_touch
    BEFORE UPDATE ON ret.campaign_conversion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.referral (
    business_id          uuid              NOT NULL,
    referral_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    referrer_customer_id uuid              NOT NULL,
    referred_customer_id uuid,
    first_order_id       uuid,
    coupon_id            uuid,
    referral_code        system_core.code  NOT NULL,
    invited_at           timestamptz,
    invited_via          text              NOT NULL,
    joined_at            timestamptz,
    qualified_at         timestamptz,
    reward_amount        system_core.money NOT NULL DEFAULT 0,
    reward_paid_at       timestamptz,
    state                text              NOT NULL DEFAULT 'invited',
    reject_reason        text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, referral_id),
    UNIQUE (business_id, referral_code),
    FOREIGN KEY (business_id, referrer_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, referred_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, first_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    CONSTRAINT referral_invited_via_known
        CHECK (invited_via IN ('email', 'link', 'sms', 'social')),
    CONSTRAINT referral_state_known
        CHECK (state IN ('invited', 'joined', 'qualified', 'rewarded', 'rejected')),
    CONSTRAINT referral_referrer_customer_id_follows_referred_customer_id
        CHECK (referrer_customer_id <> referred_customer_id),
    CONSTRAINT referral_invited_at_in_order CHECK (invited_at <= joined_at),
    CONSTRAINT referral_joined_at_in_order CHECK (joined_at <= qualified_at)
);

COMMENT ON TABLE ret.referral IS 'A customer bringing another, and the reward.';

-- FK: the referrals by their referrer customer.
CREATE INDEX referral_referrer_customer_idx ON ret.referral (business_id, referrer_customer_id);

-- FK: the referrals by their referred customer.
CREATE INDEX referral_referred_customer_idx
    ON ret.referral (business_id, referred_customer_id)
    WHERE referred_customer_id IS NOT NULL;

-- FK: the referrals by their first order.
CREATE INDEX referral_first_order_idx
    ON ret.referral (business_id, first_order_id)
    WHERE first_order_id IS NOT NULL;

-- FK: the referrals of a coupon.
CREATE INDEX referral_coupon_idx
    ON ret.referral (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE ret.referral ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.referral
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.referral TO app_user;
GRANT SELECT ON ret.referral TO app_readonly;

CREATE TRIGGER referral_touch
    BEFORE UPDATE ON ret.referral
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_review (
    business_id          uuid               NOT NULL,
    product_review_id    uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    moderated_by_user_id uuid,
    product_id           uuid               NOT NULL,
    customer_id          uuid,
    sales_order_line_id  uuid,
    rating               smallint           NOT NULL,
    title                text               NOT NULL,
    body_text            text,
    is_verified_purchase boolean            NOT NULL DEFAULT false,
    submitted_at         timestamptz        NOT NULL,
    language_code        system_core.locale,
    sentiment_score      numeric(9, 4),
    helpful_count        integer            NOT NULL DEFAULT 0,
    photo_count          integer            NOT NULL DEFAULT 0,
    fit_feedback         text               NOT NULL,
    moderation           text               NOT NULL,
    reply_text           text,
    replied_at           timestamptz,
    created_at           timestamptz        NOT NULL DEFAULT now(),
    updated_at           timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_review_id),
    UNIQUE (business_id, product_id, customer_id, sales_order_line_id),
    FOREIGN KEY (business_id, moderated_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    CONSTRAINT product_review_fit_feedback_known
        CHECK (fit_feedback IN ('none', 'small', 'true', 'large')),
    CONSTRAINT product_review_moderation_known
        CHECK (moderation IN ('pending', 'published', 'rejected', 'flagged')),
    CONSTRAINT product_review_rating_bounded CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT product_review_sales_order_line_id_iff
        CHECK ((is_verified_purchase) = (sales_order_line_id IS NOT NULL))
);

COMMENT ON TABLE ret.product_review IS 'Rating and text by a verified buyer, moderated.';

-- FK: the product reviews by their moderated by user.
CREATE INDEX product_review_moderated_by_user_idx
    ON ret.product_review (business_id, moderated_by_user_id)
    WHERE moderated_by_user_id IS NOT NULL;

-- FK: the product reviews of a customer.
CREATE INDEX product_review_customer_idx
    ON ret.product_review (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the product reviews of a sales order line.
CREATE INDEX product_review_sales_order_line_idx
    ON ret.product_review (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

ALTER TABLE ret.product_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_review TO app_user;
GRANT SELECT ON ret.product_review TO app_readonly;

CREATE TRIGGER product_review_touch
    BEFORE UPDATE ON ret.product_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
