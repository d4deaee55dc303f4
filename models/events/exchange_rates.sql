{{ config(materialized='table') }}
-- One row per pair of currencies and span of time in which a rate holds: what an amount is multiplied by.

select
    from_currency,
    to_currency,
    rate,
    cast(valid_from as {{ dbt.type_timestamp() }}) as valid_from,
    cast(
        coalesce(
            lead(valid_from) over (partition by from_currency, to_currency order by valid_from),
            cast('9999-12-31' as date)
        ) as {{ dbt.type_timestamp() }}
    ) as valid_to
from {{ ref('currency_rates') }}
