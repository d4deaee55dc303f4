{# What the materialization by_profile and the SQL of its models ask: what is due, and what was read already. #}

{# The condition that a profile is due; true where the model is built in full. #}
{% macro is_due(profile_id) -%}
    {%- if model.resource_type != 'unit_test' -%}
        {#- What the materialization reads. -#}
        {%- do [ref('identity_graph'), ref('merged_profiles')] -%}
    {%- endif -%}
    {%- if cdi.is_partial() -%}
        {{ profile_id }} in (select profile_id from {{ cdi.due_relation() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{# The work table with the profiles that are due. #}
{% macro due_relation() -%} cdi_{{ model.alias }}_due {%- endmacro %}

{#
  The work table with the identifiers and profile_id of profiles that are due: SQL that joins several models of events to
  the graph reads it in a run that is partial, so that the graph is read once. It is there where the SQL names it.
#}
{% macro due_identifiers() -%} cdi_{{ model.alias }}_due_identifiers {%- endmacro %}

{#
  Whether this run makes only the profiles that are due. Compiled without a connection it does not, or with
  --vars 'compile_incremental: true' it does.
#}
{% macro is_partial() %}{{ return(cdi.once('is partial', cdi.decide_is_partial)) }}{% endmacro %}

{% macro decide_is_partial() %}
    {%- if not execute or model.config.materialized != 'by_profile' -%}{{ return(false) }}{%- endif -%}
    {%- if not flags.INTROSPECT -%}{{ return(var('compile_incremental', false)) }}{%- endif -%}
    {%- if flags.WHICH not in ['run', 'build'] or model.resource_type != 'model' or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set table = load_cached_relation(this) -%}
    {%- if table is none or table.is_view -%}{{ return(false) }}{%- endif -%}
    {%- set state = cdi.by_profile_state() -%}
    {{ return(state.definition is not none and state.definition == cdi.by_profile_definition()) }}
{% endmacro %}

{# The table of states. #}
{% macro by_profile_inputs_relation() %}
    {{ return(api.Relation.create(database=target.database, schema='cdi', identifier='by_profile_inputs')) }}
{% endmacro %}

{#
  The table of rows that went: the profiles that lost theirs in a run that made those that were due, by which other
  models see it; without a profile: the run that made the whole table.
#}
{% macro by_profile_removed_relation() %}
    {{ return(api.Relation.create(database=target.database, schema='cdi', identifier='by_profile_removed')) }}
{% endmacro %}

{#
  What the last run of this model left: definition (none: there was no run), as_of (SQL), revision, and loaded_at,
  {input: SQL of its newest loaded_at} or, for tables, their newest revision.
#}
{% macro by_profile_state() %}{{ return(cdi.once('state', cdi.read_by_profile_state)) }}{% endmacro %}

{% macro read_by_profile_state() %}
    {%- set state = {'definition': none, 'as_of': none, 'revision': 0, 'newest': {}} -%}
    {%- if not flags.INTROSPECT -%}{{ return(state) }}{%- endif -%}
    {%- set rows = run_query(
        "select input, definition, as_of, revision, newest_load, newest_revision from "
        ~ cdi.by_profile_inputs_relation() ~ " where model = '" ~ cdi.by_profile_name() ~ "'"
    ).rows -%}
    {%- for input, definition, as_of, revision, newest_load, newest_revision in rows -%}
        {%- do state.update({
            'definition': definition,
            'revision': revision | int,
            'as_of': "cast('" ~ as_of ~ "' as " ~ dbt.type_timestamp() ~ ")",
        }) -%}
        {%- if newest_load is not none -%}
            {%- do state.newest.update({input: "cast('" ~ newest_load ~ "' as " ~ dbt.type_timestamp() ~ ")"}) -%}
        {%- elif newest_revision is not none -%}
            {%- do state.newest.update({input: newest_revision | int}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(state) }}
{% endmacro %}

{# The name of a model (this one) in the table of states: schemas may share one database. #}
{% macro by_profile_name(relation=this) -%} {{ relation.schema }}.{{ relation.identifier }} {%- endmacro %}

{% macro next_revision(state) %}{{ return(state.revision + 1) }}{% endmacro %}

{# A hash of what the rows depend on besides the events: a change of it has the model built in full. #}
{% macro by_profile_definition() %}{{ return(cdi.once('definition', cdi.read_by_profile_definition)) }}{% endmacro %}

{% macro read_by_profile_definition() %}
    {#- What differs is asked by a query that may hold as_of. -#}
    {%- set parts = [model.raw_code, dict(cdi.by_profile_inputs(), differing=none)] -%}
    {%- if config.get('definition') -%}
        {%- do parts.append(context['cdi'][config.get('definition')]()) -%}
    {%- endif -%}
    {#- What was built anew: the graph, and tables that are read. -#}
    {%- set questions = ['(select count(*) from ' ~ cdi.runs_of(ref('identity_graph')) ~ ' where is_full_refresh)'] -%}
    {%- for name in cdi.by_profile_inputs().tables -%}
        {%- do questions.append(
            '(select max(revision) from ' ~ cdi.by_profile_removed_relation() ~ " where profile_id is null and model = '"
            ~ cdi.by_profile_name(ref(name)) ~ "')"
        ) -%}
    {%- endfor -%}
    {%- set built = run_query('select ' ~ questions | join(', ')).rows[0] | map('string') | list -%}
    {%- do parts.append(built[0]) -%}
    {#- What the events are read as: a view that says something else says it of all of them. -#}
    {%- for name in cdi.by_profile_inputs().events -%}
        {%- set node, columns = cdi.node_of(name), {} -%}
        {%- for column in node.columns.values() -%}
            {%- set meta = cdi.column_meta(column) -%}
            {%- do columns.update({column.name: [column.data_type, meta.get('property'), meta.get('nested')]}) -%}
        {%- endfor -%}
        {%- do parts.append([node.raw_code, (node.config.get('meta') or {}).get('plan'), columns]) -%}
    {%- endfor -%}
    {%- do parts.extend(built[1:]) -%}
    {{ return(local_md5(tojson(parts, sort_keys=true))) }}
{% endmacro %}

{# The config `inputs`, whole: {events: {model: {windows, days}}, tables: {model: {column: windows}}, ...}. #}
{% macro by_profile_inputs() %}{{ return(cdi.once('inputs', cdi.read_by_profile_inputs)) }}{% endmacro %}

{% macro read_by_profile_inputs() %}
    {%- set given = config.get('inputs') or {} -%}
    {%- if given is string -%}{%- set given = context['cdi'][given]() -%}{%- endif -%}
    {#- An event may be there before its identifier is in the graph: it counts when that arrives. -#}
    {%- set inputs = {
        'identifiers': given.get('identifiers', false) or given.get('events', []) | length > 0,
        'differing': given.get('differing'), 'ages': given.get('ages', []),
    } -%}
    {%- for kind in ['events', 'tables'] -%}
        {%- set named = {} -%}
        {%- for name in given.get(kind, []) -%}
            {%- do named.update({name: (given[kind][name] if given[kind] is mapping else none) or {}}) -%}
        {%- endfor -%}
        {%- do inputs.update({kind: named}) -%}
    {%- endfor -%}
    {{ return(inputs) }}
{% endmacro %}

{# {input: its newest loaded_at or revision, as SQL}, as they are before anything is read. #}
{% macro by_profile_watermarks(inputs) %}
    {%- set names = inputs.events | list + ['merged_profiles'] + (['identity_graph'] if inputs.identifiers else []) -%}
    {%- set selects = [] -%}
    {%- for name in names -%}
        {%- do selects.append('(select max(loaded_at) from ' ~ ref(name) ~ ')') -%}
    {%- endfor -%}
    {%- for name in inputs.tables -%}
        {%- do selects.append(
            '(select max(revision) from (select max(revision) as revision from ' ~ ref(name)
            ~ ' union all select max(revision) from ' ~ cdi.by_profile_removed_relation() ~ " where model = '"
            ~ cdi.by_profile_name(ref(name)) ~ "') as revisions)"
        ) -%}
    {%- endfor -%}
    {%- set found = run_query('select ' ~ selects | join(', ')).rows[0] -%}
    {%- set watermarks = {} -%}
    {%- for name in names -%}
        {%- set value = found[loop.index0] -%}
        {%- do watermarks.update({
            name: ("cast('" ~ value ~ "' as " ~ dbt.type_timestamp() ~ ")") if value is not none else none
        }) -%}
    {%- endfor -%}
    {%- for name in inputs.tables -%}
        {%- set value = found[(names | length) + loop.index0] -%}
        {%- do watermarks.update({name: value | int if value is not none else none}) -%}
    {%- endfor -%}
    {{ return(watermarks) }}
{% endmacro %}

{# A select of the profiles that are due. #}
{% macro due_profiles(inputs, state, watermarks) %}
    {%- set parts, identifiers = [], [] -%}
    {%- for name, details in inputs.events.items() -%}
        {%- set condition = cdi.due_events(name, details, state, watermarks) -%}
        {%- if condition -%}
            {%- do identifiers.append('select events.identifier from ' ~ ref(name) ~ ' as events where ' ~ condition) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if identifiers -%}
        {#- The graph is large: it is read once for all events. -#}
        {%- do parts.append(
            'select profile_id from ' ~ ref('identity_graph') ~ ' where identifier in (\n' ~ identifiers | join('\nunion all\n')
            ~ '\n)'
        ) -%}
    {%- endif -%}
    {%- for name, columns in inputs.tables.items() -%}
        {%- set conditions = [] -%}
        {%- if watermarks[name] is not none and watermarks[name] != state.newest.get(name) -%}
            {%- do conditions.append('revision > ' ~ state.newest.get(name, 0)) -%}
            {%- do parts.append(
                'select profile_id from ' ~ cdi.by_profile_removed_relation() ~ " where profile_id is not null and model = '"
                ~ cdi.by_profile_name(ref(name)) ~ "' and revision > " ~ state.newest.get(name, 0)
            ) -%}
        {%- endif -%}
        {%- for column, windows in columns.items() -%}
            {%- for window in windows -%}
                {%- set passed = cdi.has_passed(column, window, state) -%}
                {%- if passed -%}{%- do conditions.append(passed) -%}{%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- if conditions -%}
            {%- do parts.append('select profile_id from ' ~ ref(name) ~ ' where ' ~ conditions | join(' or ')) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name in ['merged_profiles'] + (['identity_graph'] if inputs.identifiers else []) -%}
        {%- if watermarks[name] != state.newest.get(name) -%}
            {%- do parts.append(
                'select profile_id from ' ~ ref(name)
                ~ (' where loaded_at > ' ~ state.newest[name] if name in state.newest else '')
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for column in inputs.ages if state.as_of != cdi.as_of() -%}
        {%- do parts.append(
            'select profile_id from ' ~ this ~ ' where ' ~ cdi.days_between(column, state.as_of) ~ ' <> '
            ~ cdi.days_between(column, cdi.as_of())
        ) -%}
    {%- endfor -%}
    {%- if inputs.differing -%}{%- do parts.append(inputs.differing) -%}{%- endif -%}
    {%- if not parts -%}
        {%- do parts.append('select profile_id from ' ~ this ~ ' where false') -%}
    {%- endif -%}
    {{ return('select distinct profile_id from (\n' ~ parts | join('\nunion all\n') ~ '\n) as due') }}
{% endmacro %}

{# The condition that an event makes its profile due; '' where none can. #}
{% macro due_events(name, details, state, watermarks) %}
    {%- set conditions = [] -%}
    {%- if watermarks[name] != state.newest.get(name) -%}
        {%- if name not in state.newest -%}{{ return('true') }}{%- endif -%}
        {%- do conditions.append('events.loaded_at > ' ~ state.newest[name]) -%}
    {%- endif -%}
    {%- for window in details.get('windows', []) -%}
        {%- set passed = cdi.has_passed('events.event_at', window, state) -%}
        {%- if passed -%}{%- do conditions.append(passed) -%}{%- endif -%}
    {%- endfor -%}
    {%- if details.get('days') and state.as_of != cdi.as_of() -%}
        {#- Counted from the earlier of the two dates. -#}
        {%- do conditions.append(
            '(cast(' ~ state.as_of ~ ' as date) <> cast(' ~ cdi.as_of() ~ ' as date) and events.event_at >= '
            ~ dbt.dateadd('day', -1 * details.days, 'least(' ~ state.as_of ~ ', ' ~ cdi.as_of() ~ ')') ~ ')'
        ) -%}
    {%- endif -%}
    {{ return(conditions | join(' or ')) }}
{% endmacro %}

{# The condition that the end of a window of some seconds before as_of passed a moment since the last run, or back. #}
{% macro has_passed(moment, window, state) %}
    {%- if state.as_of == cdi.as_of() -%}{{ return('') }}{%- endif -%}
    {%- set last, now = dbt.dateadd('second', -1 * window, state.as_of), dbt.dateadd('second', -1 * window, cdi.as_of()) -%}
    {{ return(
        '(' ~ moment ~ ' >= least(' ~ last ~ ', ' ~ now ~ ') and ' ~ moment ~ ' <= greatest(' ~ last ~ ', ' ~ now ~ '))'
    ) }}
{% endmacro %}

{# Writes down that this run makes the whole table: models that read it are made anew too. #}
{% macro write_whole_table(revision) %}
    {%- set removed = cdi.by_profile_removed_relation() -%}
    {% call statement('forget_removed') %}
        delete from {{ removed }} where model = '{{ cdi.by_profile_name() }}'
    {% endcall %}
    {% call statement('write_whole_table') %}
        insert into {{ removed }} (model, profile_id, revision)
        select '{{ cdi.by_profile_name() }}', {{ cdi.null_text() }}, {{ revision }}
    {% endcall %}
{% endmacro %}

{# Writes down which of the profiles that are due have no rows any more. #}
{% macro write_removed_profiles(due, rows, revision) %}
    {% call statement('write_removed') %}
        insert into {{ cdi.by_profile_removed_relation() }} (model, profile_id, revision)
        select distinct
            '{{ cdi.by_profile_name() }}',
            before.profile_id,
            {{ revision }}
        from {{ this }} as before
        inner join {{ due }} as due on before.profile_id = due.profile_id
        left join {{ rows }} as made on before.profile_id = made.profile_id
        where made.profile_id is null
    {% endcall %}
{% endmacro %}

{# Writes down up to where the inputs of models were read; definitions: {name of a model: its definition}. #}
{% macro write_by_profile_state(definitions, revision, watermarks) %}
    {%- set states = cdi.by_profile_inputs_relation() -%}
    {% call statement('forget_state') %}
        delete from {{ states }} where model in ('{{ definitions | join("', '") }}')
    {% endcall %}
    {% call statement('write_state') %}
        insert into {{ states }} (model, input, definition, as_of, revision, newest_load, newest_revision)
        {%- for name, definition in definitions.items() %}
        {%- set is_last = loop.last -%}
        {%- for input, newest in watermarks.items() %}
        select
            '{{ name }}', '{{ input }}', '{{ definition }}', {{ cdi.as_of() }}, {{ revision }},
            {{ newest if newest is string else 'cast(null as ' ~ dbt.type_timestamp() ~ ')' }},
            {{ newest if newest is number else 'cast(null as ' ~ dbt.type_bigint() ~ ')' }}
        {%- if not loop.last or not is_last %} union all {%- endif %}
        {%- endfor %}
        {%- endfor %}
    {% endcall %}
{% endmacro %}

{# Indexes of a by_profile table, where the warehouse gains by them. #}
{% macro index_by_profile(relation) %}
    {% if target.type == 'postgres' %}
        {% for column in ['profile_id', 'revision'] %}
            {% call statement('index') %}create index on {{ relation }} ({{ column }}){% endcall %}
        {% endfor %}
        {% call statement('analyze') %}analyze {{ relation }}{% endcall %}
    {% endif %}
{% endmacro %}
