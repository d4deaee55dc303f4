{#
  The channel group of a session from its campaign's medium and source and its referrer's host (SQL): that of the first
  rule of seeds/channel_groups.csv whose patterns all match, else direct.
#}
{% macro channel_group(medium, source, referrer_host) -%}
    case
        {%- for rule in cdi.channel_rules() %}
        {%- set conditions = [] -%}
        {%- for text, pattern in [
            (medium, rule.medium), (source, rule.source), (referrer_host, rule.referrer)
        ] if pattern -%}
            {%- do conditions.append(
                cdi.regexp_like('lower(' ~ text ~ ')', dbt.escape_single_quotes('^(' ~ pattern ~ ')$'))
            ) -%}
        {%- endfor %}
        when {{ conditions | join(' and ') }} then '{{ dbt.escape_single_quotes(rule.channel_group) }}'
        {%- endfor %}
        else 'direct'
    end
{%- endmacro %}

{#
  The rules, [{channel_group, medium, source, referrer}], in their order. Compiled without a connection, or before the
  seed was loaded, two as an example.
#}
{% macro channel_rules() %}
    {%- set relation = ref('channel_groups') -%}
    {%- set rules = [] -%}
    {%- if execute and flags.INTROSPECT and load_relation(relation) is not none -%}
        {%- for channel_group, medium, source, referrer in run_query(
            'select channel_group, medium, source, referrer from ' ~ relation ~ ' order by priority'
        ).rows if medium or source or referrer -%}
            {%- do rules.append(
                {'channel_group': channel_group, 'medium': medium, 'source': source, 'referrer': referrer}
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(rules or [
        {'channel_group': 'email', 'medium': 'email', 'source': none, 'referrer': none},
        {'channel_group': 'referral', 'medium': none, 'source': none, 'referrer': '.+'},
    ]) }}
{% endmacro %}

{# What sessions depend on besides events: a change of it has them all made anew. #}
{% macro session_definition() %}
    {{ return([var('session_timeout_minutes'), cdi.channel_rules()]) }}
{% endmacro %}

{# What the attribution of orders depends on besides sessions and orders. #}
{% macro attribution_definition() %}
    {{ return([var('attribution_lookback_days')]) }}
{% endmacro %}
