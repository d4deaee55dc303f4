{%- set types = var('identifier_types') | map(attribute='type') | list -%}
-- One row per identifier of a combination, linked to the combination's strongest identifier (which links to itself).

with

sets as (

    select
        *,
        {{ cdi.strongest_identifier() }} as hub
    from {{ ref('identifier_sets') }}

)

{% for type in types %}
select
    '{{ type }}:' || identifier_{{ type }} as identifier,
    cast('{{ type }}' as {{ dbt.type_string() }}) as identifier_type,
    identifier_{{ type }} as identifier_value,
    hub,
    -- Inside one event the strongest identifier comes first.
    first_arrival || '{{ '%02d' | format(loop.index) }}' as arrival,
    loaded_at
from sets
where identifier_{{ type }} is not null
{% if not loop.last %}union all{% endif %}
{% endfor %}
