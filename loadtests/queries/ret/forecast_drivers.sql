-- A planner asks what the forecasts of a place were built on, and how far off they were with it.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, every forecast of the place is taken apart
-- params: location_id from ret.demand_forecast
SELECT d.business_id, d.model_name, d.driver, d.forecasts, d.effect_qty, d.mean_effect_qty, d.wape
FROM ret.v_forecast_driver AS d
WHERE d.business_id = %(business_id)s AND d.location_id = %(location_id)s
ORDER BY abs(d.effect_qty) DESC, d.driver
