{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail') }}
{%- set in_force_already = execute and flags.INTROSPECT and is_incremental() %}
{%- set string, int = dbt.type_string(), dbt.type_int() %}
{%- set columns = {
    'identifier_type': string, 'priority': int, 'limit_count': int, 'limit_window': string, 'normalisation': string,
    'path': string, 'conditions': string, 'match': string, 'value': string,
} %}
{%- set threshold = var('match_threshold') | string if var('match_threshold') is not none else '' %}
{%- if threshold and not 0 <= threshold | float(-1) <= 1 %}
    {{- exceptions.raise_compiler_error(
        "vars: match_threshold is '" ~ threshold ~ "'; write a number from 0 to 1, or leave it empty"
    ) }}
{%- endif %}
{%- set seeds = [
    ('type', ref('identifier_types'),
        ['identifier_type', 'priority', 'limit_count', 'limit_window', 'normalisation']),
    ('source', ref('identifier_sources'), ['identifier_type', 'path', 'conditions']),
    ('blocked', ref('blocked_identifiers'), ['identifier_type', 'match', 'value']),
] %}
-- One row per rule of identity in force: the seeds as they were at the last full refresh. Events and the graph were
-- made by these, so an edited seed waits for the next full refresh instead of mixing two sets of rules.

with

rules as (

    {% for rule, seed, given in seeds %}
    select
        cast('{{ rule }}' as {{ string }}) as rule,
        {{ cdi.rule_columns(columns, given) }}
    from {{ seed }}
    union all
    {% endfor %}
    -- The least probability at which a proposal of `cdi identity match` becomes a link; null: none does.
    select
        cast('match_threshold' as {{ string }}) as rule,
        {{ cdi.rule_columns(columns, {'value': "nullif('" ~ threshold ~ "', '')"}) }}

)

select * from rules
{% if in_force_already %}
where false
{% endif %}
