-- One row per arrival of an event, with the identifiers it carries: what `cdi privacy` looks people up in, those of
-- whom nothing was built yet and those that are kept out of `events` included.

with

identified as (

    {{ cdi.select_identifiers(ref('arrivals')) }}

)

select
    event_id,
    source,
    loaded_at,
    -- Both are in the arrival: 20 digits, the load, 12 digits of the line.
    substr(arrival, 21, length(arrival) - 32) as load_id,
    cast({{ dbt.right('arrival', 12) }} as {{ dbt.type_bigint() }}) as source_line,
    identifiers,
    {{ cdi.strongest_identifier() }} as identifier
from identified
