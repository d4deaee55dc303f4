-- One row per identifier of a combination, linked to the combination's strongest identifier (which links to itself).

with

parts as (

    {{ cdi.unnest_text(
        ref('identifier_sets'), 'identifiers', cdi.identifier_separator(),
        ['identifier_set_id', 'identifiers', 'event_id', 'event_at', 'loaded_at']
    ) }}

)

select
    identifier_set_id,
    part as identifier,
    {{ cdi.identifier_type('part') }} as identifier_type,
    {{ cdi.identifier_value_of('part') }} as identifier_value,
    {{ cdi.strongest_identifier('identifiers') }} as hub,
    position,
    event_id,
    event_at,
    loaded_at
from parts
