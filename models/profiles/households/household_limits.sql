{{ config(enabled=var('households'), materialized='view') }}
-- One row: how many profiles a household holds at the most, as the graph of households takes it.

select
    'profile' as identifier_type,
    cast({{ var('household_max_profiles') }} as {{ dbt.type_int() }}) as limit_count,
    'ever' as limit_window
