-- One row per customer at risk: a message says how many came and went, and nothing about them leaves the warehouse.

select profile_id
from {{ ref('at_risk_of_churn') }}
