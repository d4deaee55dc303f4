{#
  An aggregate: the newest text of a group, nulls passed over; of texts of the same moment the greatest.
  Written with max() over one text, because not every warehouse has max_by.
#}
{% macro latest_value(value, at) -%}
    substr(
        max({{ cdi.alphabetical(
            'case when ' ~ value ~ ' is not null then ' ~ cdi.sortable_timestamp(at) ~ ' || ' ~ value ~ ' end'
        ) }}), 21
    )
{%- endmacro %}
