{#
  An audience: the profiles that meet all conditions of `all` and one of `any`, with columns of `profiles`.

    {{ cdi.audience(
        all=[cdi.did('order_completed', at_least=2, within='90 days'), cdi.trait('country', equals='AT')],
        columns=['email', 'first_name']
    ) }}

  The conditions are in the manifest as config.meta.audience. What they are about is evaluated for all audiences at
  once, in audience_conditions.
#}
{% macro audience(all=[], any=[], columns=[]) -%}
    {%- set conditions = [] -%}
    {%- for key, given in {'all_of': all, 'any_of': any}.items() if given -%}
        {%- do cdi.require_conditions(given, model.original_file_path) -%}
        {%- do conditions.extend(given if key == 'all_of' else [{'condition': key, 'conditions': given}]) -%}
    {%- endfor -%}
    {%- if not conditions -%}
        {{ exceptions.raise_compiler_error(model.original_file_path ~ ': the audience has no conditions.') }}
    {%- endif -%}
    {{ config(meta={'audience': {'conditions': conditions, 'columns': columns}}) }}
    {%- do [ref('profiles'), ref('audience_conditions')] -%}
    {%- for name in cdi.audiences_named(conditions) -%}{%- do ref(name) -%}{%- endfor -%}
    {%- if execute -%}
        {%- do cdi.checked_conditions([{'file': model.original_file_path, 'conditions': conditions}]) -%}
        {%- do cdi.require_columns(columns, cdi.profile_columns(), 'profiles') -%}
    {%- endif %}
    {%- set names = {} -%}
    {%- for leaf in cdi.leaves_of(conditions) if 'audience' not in leaf -%}
        {%- do names.update({leaf.name: 'conditions.' ~ leaf.name}) -%}
    {%- endfor -%}
    {%- do cdi.require_evaluated(names) %}
select
    profiles.profile_id
    {%- for column in columns %},
    profiles.{{ column }}
    {%- endfor %}
from {{ ref('profiles') }} as profiles
inner join {{ ref('audience_conditions') }} as conditions on profiles.profile_id = conditions.profile_id
{{- cdi.joined_audiences(conditions, 'profiles.profile_id') }}
where
{{ cdi.conditions_sql(conditions, 'and', names) | indent(4, first=true) }}
{%- endmacro %}

{# Stops a build of an audience alone whose conditions have not been evaluated yet. #}
{% macro require_evaluated(names) %}
    {%- if execute and flags.INTROSPECT and flags.WHICH in ['run', 'build'] and model.resource_type == 'model' -%}
        {%- set columns = cdi.once('evaluated conditions', cdi.read_evaluated_conditions, of_graph=true) -%}
        {%- if names | reject('in', columns) | list -%}
            {{ exceptions.raise_compiler_error(
                model.original_file_path ~ ': its conditions are new and have to be evaluated first: dbt build --select'
                ~ ' audience_conditions+'
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{# The columns that audience_conditions has. Cheaper than to ask the catalog. #}
{% macro read_evaluated_conditions() %}
    {{ return(
        run_query('select * from ' ~ cdi.relation_of('audience_conditions') ~ ' where false').column_names | map('lower') | list
    ) }}
{% endmacro %}

{# Stops where an audience selects a column that there is not, or one a second time; its id it has anyway. #}
{% macro require_columns(columns, known, relation) %}
    {%- set wanted = ['account_id' if relation == 'accounts' else 'profile_id'] -%}
    {%- if columns is string or columns is mapping or columns is not sequence -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ': columns ' ~ columns ~ " is no list such as ['email', 'first_name']."
        ) }}
    {%- endif -%}
    {%- for column in columns -%}
        {%- if column in wanted -%}
            {{ exceptions.raise_compiler_error(model.original_file_path ~ ": '" ~ column ~ "' is a column of it already.") }}
        {%- endif -%}
        {%- do wanted.append(column) -%}
    {%- endfor -%}
    {%- for column in columns if column not in known -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ": '" ~ column ~ "' is no column of " ~ relation ~ '; '
            ~ cdi.names_like(column, known)
        ) }}
    {%- endfor -%}
{% endmacro %}

{# The audiences that conditions name, each once. #}
{% macro audiences_named(conditions) %}
    {%- set names = [] -%}
    {%- for leaf in cdi.leaves_of(conditions) if 'audience' in leaf and leaf.audience not in names -%}
        {%- do names.append(leaf.audience) -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}

{#
  Conditions joined by a word as SQL, each behind its sentence. columns: {name: SQL} of those about events and traits;
  those about audiences that are not among them hold where the joined relation in_<audience> has the profile.
#}
{% macro conditions_sql(conditions, word, columns) %}
    {%- set parts = [] -%}
    {%- for condition in conditions -%}
        {%- if 'conditions' in condition -%}
            {%- set inner = cdi.conditions_sql(
                condition.conditions, 'and' if condition.condition == 'all_of' else 'or', columns
            ) -%}
            {%- do parts.append(
                ('not ' if condition.condition == 'none_of' else '') ~ '(\n    ' ~ inner | indent(4) ~ '\n)'
            ) -%}
        {%- elif 'audience' in condition -%}
            {%- do parts.append(
                '-- ' ~ condition.sentence ~ '\n' ~ (
                    columns[condition.name] if condition.name in columns
                    else 'in_' ~ condition.audience ~ '.profile_id is '
                    ~ ('not null' if condition.condition == 'in_audience' else 'null')
                )
            ) -%}
        {%- else -%}
            {%- do parts.append('-- ' ~ condition.sentence ~ '\n' ~ columns[condition.name]) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join('\n' ~ word ~ '\n')) }}
{% endmacro %}

{# The joins behind `profiles` that conditions about audiences need. #}
{% macro joined_audiences(conditions, profile_id) -%}
    {%- for name in cdi.audiences_named(conditions) %}
left join (select distinct profile_id from {{ ref(name) }}) as in_{{ name }}
    on {{ profile_id }} = in_{{ name }}.profile_id
    {%- endfor %}
{%- endmacro %}
