-- One row per person with an abandoned cart whom Braze may write to.

select profile_id
from {{ ref('abandoned_cart') }}
