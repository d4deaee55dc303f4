-- One row per customer at risk, for a message that says how many came and went; nothing about them leaves the warehouse.

select profile_id
from {{ ref('at_risk_of_churn') }}
