{#
  The traits that this model's YAML declares (docs/traits.md): one row per profile (or account) with any of the events
  they are about. Each event is read once, for all traits.

  reads: the names of the models that are read: of events, and of `exchange_rates` and `session_starts` where a trait has
  a currency or is `within: session`. dbt has to know them before it reads YAML.
  per: profile_id, or account_id for traits of accounts: an event belongs to the account it names, and to all accounts
  of its person where it names none.
#}
{% macro computed_traits(reads, per='profile_id') -%}
    {%- for name in reads + ['identity_graph'] + [{'account_id': 'account_memberships'}.get(per, 'merged_profiles')] -%}
        {%- do ref(name) -%}
    {%- endfor -%}
    {%- if execute -%}
        {%- for column in model.columns.values() if column.name != per and cdi.column_meta(column).get('trait') is none -%}
            {{ exceptions.raise_compiler_error(cdi.column_place(model, column.name) ~ ': it has no meta.trait') }}
        {%- endfor -%}
        {{ cdi.traits_sql(cdi.declared_traits(model), reads, per, cdi.as_of(), only_due=(per == 'profile_id')) }}
    {%- else -%}
        select 1 as {{ per }}
    {%- endif -%}
{%- endmacro %}

{# For the materialization by_profile: what makes a profile due for the traits of this model. #}
{% macro trait_inputs() %}
    {%- set traits = cdi.declared_traits(model) -%}
    {{ return(cdi.inputs_of_traits(traits)) }}
{% endmacro %}

{# The definitions as the materialization compares them. #}
{% macro trait_definitions() %}
    {%- set definitions = [] -%}
    {%- for trait in cdi.declared_traits(model) -%}
        {%- set plain = {} -%}
        {%- for key, value in trait.items() if key not in ['node', 'place'] -%}{%- do plain.update({key: value}) -%}{%- endfor -%}
        {%- do definitions.append(plain) -%}
    {%- endfor -%}
    {%- if definitions | selectattr('currency') | list -%}
        {#- A rate that changed changes everybody's sums. -#}
        {%- for row in run_query(
            'select from_currency, to_currency, count(*), sum(rate), sum(rate * '
            ~ dbt.datediff("cast('2000-01-01' as " ~ dbt.type_timestamp() ~ ')', 'valid_from', 'day') ~ ') from '
            ~ ref('exchange_rates') ~ ' group by 1, 2 order by 1, 2'
        ).rows -%}
            {%- do definitions.append(row | map('string') | list) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(definitions) }}
{% endmacro %}

{# The same for a list of traits. #}
{% macro inputs_of_traits(traits) %}
    {%- set inputs = {'events': {}, 'tables': {}, 'ages': []} -%}
    {%- for trait in traits -%}
        {%- if trait.event -%}
            {%- set details = inputs.events.setdefault(trait.event, {'windows': [0], 'days': 0}) -%}
            {%- for window in trait.window.values() if window is not none and window not in details.windows -%}
                {%- do details.windows.append(window) -%}
            {%- endfor -%}
            {%- if trait.type == 'streak' and trait.current -%}
                {%- do details.update({'days': [details.days, 2 if trait.unit == 'day' else 15] | max}) -%}
            {%- endif -%}
        {%- elif trait.type in ['days_since', 'per_month'] and trait.of[-1] not in inputs.ages -%}
            {%- do inputs.ages.append(trait.of[-1]) -%}
        {%- endif -%}
        {%- if trait.in_session -%}{%- do inputs.tables.update({'session_starts': {}}) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(inputs) }}
{% endmacro %}

{#
  The SQL of traits: one row per `per`.

  reads: see computed_traits; none where the model reads by way of another. as_of: SQL of the moment that they are of; only_due: whether only profiles that are due are wanted, in a run that is
  not full; known_by: SQL of a moment; events that arrived later are left out.
#}
{% macro traits_sql(traits, reads, per, as_of, only_due=false, known_by=none) %}
    {%- for trait in traits if reads is not none -%}
        {%- for name in ([trait.event] if trait.event else []) + (['exchange_rates'] if trait.currency else [])
            + (['session_starts'] if trait.in_session else []) if name not in reads -%}
            {{ exceptions.raise_compiler_error(
                trait.place ~ ": add '" ~ name ~ "' to the reads of computed_traits in " ~ model.original_file_path
            ) }}
        {%- endfor -%}
    {%- endfor -%}
    {%- for trait in traits if per == 'account_id' and trait.event and 'group_id' not in trait.node.columns -%}
        {{ exceptions.raise_compiler_error(trait.place ~ ': ' ~ trait.event ~ ' has no group_id, the account of an event') }}
    {%- endfor %}
with

{{ cdi.event_trait_steps(traits, per, as_of, only_due, known_by, by_ref=reads is not none) }}

select
    {{ per }}
    {%- for trait in traits %},
    cast({{ cdi.trait_value(trait, traits, as_of) }} as {{ api.Column.translate_type(trait.data_type) }}) as {{ trait.name }}
    {%- endfor %}
from event_traits
{%- endmacro %}

{#
  What a trait is, from the columns of the step event_traits. traits: all of the model, for a trait may be made of others
  that are made of others.
#}
{% macro trait_value(trait, traits, as_of) -%}
    {%- set of = [] -%}
    {%- for name in trait.of -%}
        {%- set other = traits | selectattr('name', 'equalto', name) | first -%}
        {%- do of.append('(' ~ cdi.trait_value(other, traits, as_of) ~ ')' if other.of else name) -%}
    {%- endfor -%}
    {%- if trait.type == 'ratio' -%}
        cast(cast({{ of[0] }} as {{ dbt.type_numeric() }}) / nullif({{ of[1] }}, 0) as numeric(28, 9))
    {%- elif trait.type == 'difference' -%}
        coalesce({{ of[0] }}, 0) - coalesce({{ of[1] }}, 0)
    {%- elif trait.type == 'days_since' -%}
        {{ cdi.days_between(of[0], as_of) }}
    {%- elif trait.type == 'per_month' -%}
        {#- Of 30 days; whoever has come only now has had one. -#}
        cast({{ of[0] }} * 30.0 / greatest({{ cdi.days_between(of[1], as_of) }}, 30) as numeric(28, 9))
    {%- else -%}
        {{ trait.name }}
    {%- endif -%}
{%- endmacro %}

{#
  The traits of a model of computed traits as they were at each of some moments: as_of, profile_id, and its columns.
  Counted from the events up to then, so that what is learned from them knows nothing of what came after.

  moments: a list of moments, ISO 8601 in UTC; known: leave out events that had not arrived by then.
  Profiles, accounts and their people are those that are known today, and so are the sessions of `within: session`.
  Of a model of traits of accounts it gives account_id in place of profile_id.
#}
{% macro traits_as_of(model_name, moments, known=false) -%}
    {%- do ref(model_name) -%}
    {%- if execute -%}
        {%- set node = cdi.node_of(model_name) -%}
        {%- set traits, problems = cdi.declared_traits(node), [] -%}
        {%- set per = 'profile_id' if 'profile_id' in node.columns else 'account_id' -%}
        {%- if moments is string or moments is mapping or moments is not sequence or not moments -%}
            {%- do problems.append(model_name ~ ': ' ~ moments ~ ' is no list of moments') -%}
        {%- endif -%}
        {%- for moment in (moments if not problems else []) -%}
            {%- set as_of = cdi.value_literal(moment, 'timestamp', model_name, problems) %}
select
    {{ as_of }} as as_of,
    traits.*
from (
    {{ cdi.traits_sql(traits, none, per, as_of, known_by=(as_of if known)) }}
) as traits
{{ 'union all' if not loop.last }}
        {%- endfor -%}
        {%- if problems -%}
            {{ exceptions.raise_compiler_error('traits_as_of: ' ~ problems | join('; ') ~ '.') }}
        {%- endif -%}
    {%- else -%}
        select 1 as profile_id
    {%- endif -%}
{%- endmacro %}
