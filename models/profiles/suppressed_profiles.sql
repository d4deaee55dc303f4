{{ config(materialized='view') }}
-- One row per profile that holds a suppressed identifier: no tool gets it. A view, so that a request acts at once.

select distinct graph.profile_id
from {{ ref('identity_graph') }} as graph
inner join {{ source('privacy', 'suppressed_identifiers') }} as suppressed
    on {{ dbt.hash('graph.identifier') }} = suppressed.identifier_id
