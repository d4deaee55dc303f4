{#
  A table that is kept up to date profile by profile: the model's SQL gives rows with a profile_id, any number for each,
  and a run makes those of the profiles anew for which something may have changed since the last one, no others. What it
  gives is what a full refresh gives, at every as_of.

  A profile is due when
  - an event of it arrived in a model that `inputs.events` names (with the columns identifier, event_at, loaded_at),
  - a window's end passed one of its events: {model: {windows: [seconds, ...]}}, where 0 is as_of itself,
  - {model: {days: n}}: the date changed, and it has an event of the last n days,
  - a row of it changed or went in another model with this materialization that `inputs.tables` names, or a time in one
    of its columns passed the end of a window: {model: {column: [seconds, ...]}},
  - it joined another profile or another joined it,
  - a time in a column of its own that `inputs.ages` names is a day (24 hours) older,
  - `inputs.identifiers` is true and one of its identifiers is new,
  - `inputs.differing`, a query, gives it: for what does not say when it changed.

  config inputs: the above, or the name of a macro of this project that returns it. A list of names may stand for a
  mapping of names to nothing.
  config definition: the name of a macro that returns what else the rows depend on besides the model's SQL (rules in
  YAML, variables). When it or the SQL's source changed, or the identity graph or a table of `inputs.tables` was built
  anew, everything is.
  config before_replacing: the name of a macro that is called in a run that makes what is due, with the work table of
  new rows and the revision, while the rows that they replace are still there.

  The SQL says `where {{ cdi.is_due('graph.profile_id') }}`. The table has one more column: `revision`, the number of
  the run that made the row, by which other models see what changed. Up to where inputs were read is kept in
  cdi.by_profile_inputs, written in the same transaction as the rows; where a warehouse has no transactions it is
  written last, and a run that was killed is done again.
#}
{% materialization by_profile, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set is_partial = cdi.is_partial() and existing is not none and not existing.is_view -%}
    {%- set state = cdi.by_profile_state() -%}
    {%- set inputs = cdi.by_profile_inputs() -%}
    {%- set revision = cdi.next_revision(state) -%}
    {%- set revision_column = 'cast(' ~ revision ~ ' as ' ~ dbt.type_bigint() ~ ') as revision' -%}
    {%- set due, rows = cdi.due_relation(), 'cdi_' ~ model.alias ~ '_rows' -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set watermarks = cdi.by_profile_watermarks(inputs) -%}
    {%- if is_partial -%}
        {% do cdi.create_work_table(due, cdi.due_profiles(inputs, state, watermarks)) %}
        {% call statement('main', fetch_result=true) %}select count(*) from {{ due }}{% endcall %}
        {% if load_result('main').table.rows[0][0] > 0 %}
            {%- set reads_identifiers = cdi.due_identifiers() | trim in sql -%}
            {% if reads_identifiers %}
                {% do cdi.create_work_table(
                    cdi.due_identifiers(),
                    'select identifier, profile_id from ' ~ ref('identity_graph') ~ ' where profile_id in (select profile_id from '
                    ~ due ~ ')'
                ) %}
            {% endif %}
            {% do cdi.create_work_table(
                rows, 'select rows.*, ' ~ revision_column ~ ' from (\n' ~ sql ~ '\n) as rows'
            ) %}
            {#- Cheaper than to ask the catalog. -#}
            {%- set columns = [] -%}
            {%- for name in run_query('select * from ' ~ existing ~ ' where false').column_names -%}
                {%- do columns.append(adapter.quote(name)) -%}
            {%- endfor -%}
            {%- set columns = columns | join(', ') -%}
            {% do cdi.write_removed_profiles(due, rows, revision) %}
            {%- if config.get('before_replacing') -%}
                {% do context['cdi'][config.get('before_replacing')](rows, revision) %}
            {%- endif -%}
            {% call statement('delete_due') %}
                delete from {{ target_relation }} where profile_id in (select profile_id from {{ due }})
            {% endcall %}
            {% call statement('main') %}
                insert into {{ target_relation }} ({{ columns }}) select {{ columns }} from {{ rows }}
            {% endcall %}
            {% do cdi.drop_work_table(rows) %}
            {% if reads_identifiers %}{% do cdi.drop_work_table(cdi.due_identifiers()) %}{% endif %}
        {% endif %}
        {% do cdi.drop_work_table(due) %}
    {%- else -%}
        {%- if config.get('contract').enforced -%}
            {{ get_assert_columns_equivalent(sql) }}
        {%- endif -%}
        {%- set intermediate = make_intermediate_relation(target_relation) -%}
        {% do drop_relation_if_exists(load_cached_relation(intermediate)) %}
        {% call statement('main') %}
            create table {{ intermediate }} as select rows.*, {{ revision_column }} from (
            {{ sql }}
            ) as rows
        {% endcall %}
        {% do cdi.take_place(intermediate, target_relation, existing) %}
        {% do cdi.index_by_profile(target_relation) %}
        {% do cdi.write_whole_table(revision) %}
    {%- endif -%}
    {% do cdi.write_by_profile_state({cdi.by_profile_name() | string: cdi.by_profile_definition()}, revision, watermarks) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do apply_grants(target_relation, config.get('grants'), should_revoke=not is_partial) %}
    {% do persist_docs(target_relation, model) %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
