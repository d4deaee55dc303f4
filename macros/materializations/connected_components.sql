{#
  A table of identifiers and the profile each belongs to, from a model that selects sets of identifiers that belong
  together: identifiers ('type:value' with identifier_separator() between them, strongest first), and the event that first
  carried the set: loaded_at, event_at, event_id (none null, the three together unique).

  Sets are taken in the order of arrival: loaded_at, event_at, event_id. In each, the strongest identifier is the hub, and
  every other one is linked to it, strongest first. A link joins the profiles of its ends unless they would together hold
  more identifiers of a type than its limit: then it is refused, for good. The oldest profile's id survives: the hash of
  its first identifier. What comes out is exactly what taking link after link would give, in few rounds of set-based SQL:

  - Components without limits, by contraction: every vertex points at its smallest neighbour, pointers are followed
    until they stop changing, links are redrawn between the roots, until no link is left. Counts only grow, so a
    component that breaks no limit in the end never broke one.
  - In those that do, links are refused or accepted only when what comes before them cannot change the answer (see
    macros/identity/limits.sql).

  config limits: the name of a model with identifier_type, limit_count (null: no limit), limit_window (ever, day, week,
  month, year); the model's SQL must refer to it. Without it there are no limits.

  An incremental run starts from the profiles that new sets touch, each as one vertex, and gives the rows of a full one.

  Columns: identifier, identifier_type, profile_id, first_profile_id (the profile the identifier was first seen in, where
  that is another), arrival (a number that grows in the order of arrival), event_at, loaded_at (of the set that first held
  it). Beside the table: <name>_decisions (links that were refused, and links that made one profile of two), <name>_runs,
  <name>_rounds.
#}
{% materialization connected_components, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set decisions = this.incorporate(path={'identifier': this.identifier ~ '_decisions'}, type='table') -%}
    {%- set runs = this.incorporate(path={'identifier': this.identifier ~ '_runs'}, type='table') -%}
    {%- set rounds = this.incorporate(path={'identifier': this.identifier ~ '_rounds'}, type='table') -%}
    {%- set is_full = should_full_refresh() or existing is none or existing.is_view
        or load_cached_relation(decisions) is none -%}
    {%- set graph = make_intermediate_relation(target_relation) if is_full else target_relation -%}
    {%- set prefix = 'cdi_' ~ model.alias ~ '_' -%}
    {%- set limits = ref(config.get('limits')) if config.get('limits') else none -%}
    {%- set work = namespace(links=none, log=[]) -%}
    {%- set t = {} -%}
    {%- for name in ['sets', 'limits', 'slots', 'found', 'touched', 'placed', 'links', 'roots', 'edges', 'counts',
        'broken', 'split', 'open', 'split_counts', 'relevant', 'refused', 'earliest', 'accepted', 'pointers', 'arrived',
        'parts', 'final', 'mixed', 'mixed_slots', 'vertices', 'births', 'merge_links', 'picks', 'merge_seqs',
        'refused_seqs', 'profiles', 'decided', 'absorbed', 'first_profiles'] -%}
        {%- do t.update({name: prefix ~ name}) -%}
    {%- endfor -%}

    {{ run_hooks(pre_hooks) }}
    {% do cdi.component_log_tables(runs, rounds) %}

    {% if is_full %}
        {% do drop_relation_if_exists(load_cached_relation(graph)) %}
        {% call statement('create_graph') %}{{ cdi.component_table(graph) }}{% endcall %}
    {% endif %}

    {#- What is new. -#}
    {%- set newest = none if is_full else cdi.single_value('select max(loaded_at) from ' ~ graph) -%}
    {#- A number of its own for every set: how many came before, but never one that was given already. -#}
    {%- set count_before = 0 if newest is none else [
        cdi.single_value(
            'select count(*) from (' ~ sql ~ ") as all_sets where loaded_at <= cast('" ~ newest ~ "' as "
            ~ dbt.type_timestamp() ~ ')'
        ),
        cdi.single_value('select max(arrival) from ' ~ graph) // cdi.per_set() | int
    ] | max -%}
    {% do cdi.create_work_table(t.sets, cdi.component_sets(sql, newest, count_before)) %}
    {% do cdi.create_work_table(t.slots, cdi.component_slots(sql, t.sets)) %}
    {% do cdi.create_work_table(t.found, cdi.component_found(t.slots, graph)) %}
    {% do cdi.create_work_table(t.touched, cdi.component_touched(t.found, graph)) %}
    {% do cdi.create_work_table(t.placed, cdi.component_placed(t.slots, t.found, t.touched)) %}
    {% do cdi.drop_work_table(t.slots) %}
    {% do cdi.release_work_tables() %}
    {% do cdi.create_work_table(t.links, cdi.component_links(t.placed)) %}

    {#- Components without limits. (The loops break: with an `if` on it, Jinja would go through all its numbers.) -#}
    {% do cdi.create_work_table(t.roots, cdi.component_alone(t.found, t.touched)) %}
    {% do cdi.create_work_table(t.edges, 'select low, high from ' ~ t.links) %}
    {%- set work.links = cdi.single_value('select count(*) from ' ~ t.edges) -%}
    {% for round in range(1, 100000) %}
        {%- if work.links == 0 %}{% break %}{% endif -%}
        {% do work.log.append(['components', round, work.links]) %}
        {% do cdi.create_work_table(t.pointers, cdi.component_pointers(t.edges)) %}
        {% do cdi.follow_pointers(t.pointers, t.arrived) %}
        {% do cdi.replace_work_table(t.roots, cdi.component_roots(t.roots, t.pointers)) %}
        {% do cdi.replace_work_table(t.edges, cdi.component_contracted(t.edges, t.pointers, with_order=false)) %}
        {% do cdi.release_work_tables() %}
        {%- set work.links = cdi.single_value('select count(*) from ' ~ t.edges) -%}
    {% endfor %}

    {#- Limits, in the components that break one. -#}
    {% if limits is not none %}
        {% do cdi.create_work_table(t.limits, cdi.component_limits(limits)) %}
        {%- set has_windows = cdi.single_value(
            'select count(*) from ' ~ t.limits ~ " where limit_window <> 'ever'"
        ) > 0 -%}
        {% do cdi.create_work_table(
            t.counts, cdi.component_counts(t.found, t.sets, t.touched, graph, t.limits, has_windows, is_full)
        ) %}
        {% do cdi.create_work_table(t.broken, cdi.component_broken(t.counts, t.roots)) %}
    {% else %}
        {% do cdi.create_work_table(t.broken, 'select root from ' ~ t.roots ~ ' where false') %}
    {% endif %}
    {% do cdi.create_work_table(t.split, cdi.component_reopened(t.roots, t.broken)) %}
    {% do cdi.create_work_table(t.open, cdi.component_open_links(t.links, t.split)) %}
    {%- set work.links = cdi.single_value('select count(*) from ' ~ t.open) -%}
    {% if work.links > 0 %}
        {% do cdi.create_work_table(t.split_counts, cdi.component_split_counts(t.counts, t.split)) %}
        {% do cdi.create_work_table(t.relevant, cdi.component_relevant_counts(t.split_counts, t.broken)) %}
    {% endif %}
    {% for round in range(1, 100000) %}
        {%- if work.links == 0 %}{% break %}{% endif -%}
        {% do work.log.append(['limits', round, work.links]) %}
        {% do cdi.create_work_table(t.refused, cdi.component_refused(t.open, t.relevant)) %}
        {% do cdi.replace_work_table(t.open, cdi.component_remaining(t.open, t.refused)) %}
        {% do cdi.create_work_table(t.earliest, cdi.component_earliest(t.open, t.relevant)) %}
        {% do cdi.create_work_table(t.accepted, cdi.component_accepted(t.open, t.earliest)) %}
        {% do cdi.create_work_table(t.pointers, cdi.component_grounded(t.accepted)) %}
        {% do cdi.follow_pointers(t.pointers, t.arrived) %}
        {% do cdi.replace_work_table(t.split, cdi.component_roots(t.split, t.pointers)) %}
        {% do cdi.replace_work_table(t.open, cdi.component_contracted(t.open, t.pointers)) %}
        {% do cdi.replace_work_table(t.relevant, cdi.component_summed(t.relevant, t.pointers)) %}
        {% do cdi.release_work_tables() %}
        {%- set work.links = cdi.single_value('select count(*) from ' ~ t.open) -%}
    {% endfor %}
    {% if work.links > 0 %}
        {% do exceptions.raise_compiler_error(
            model.alias ~ ' still had ' ~ work.links ~ ' links after 99,999 rounds; please report this'
        ) %}
    {% endif %}
    {% do cdi.create_work_table(t.parts, cdi.component_parts(t.split)) %}
    {% do cdi.create_work_table(t.final, cdi.component_final(t.roots, t.parts)) %}
    {#- Work tables take memory or disk: those that are done with go. -#}
    {% for name in ['links', 'edges', 'roots', 'pointers', 'counts', 'split', 'open', 'split_counts', 'relevant'] %}
        {% do cdi.drop_work_table(t[name]) %}
    {% endfor %}
    {% do cdi.release_work_tables() %}

    {#- Which links made one profile of two. -#}
    {% do cdi.create_work_table(t.mixed, cdi.component_mixed(t.placed, t.final)) %}
    {% do cdi.create_work_table(t.mixed_slots, cdi.component_mixed_slots(t.placed, t.final, t.mixed)) %}
    {% do cdi.create_work_table(t.vertices, cdi.component_vertices(t.mixed_slots)) %}
    {% do cdi.create_work_table(t.births, cdi.component_births(t.mixed_slots)) %}
    {% do cdi.follow_pointers(t.births, t.arrived) %}
    {% do cdi.create_work_table(t.merge_links, cdi.component_merge_links(t.mixed_slots, t.births, t.vertices)) %}
    {% do cdi.create_work_table(t.merge_seqs, 'select seq from ' ~ t.merge_links ~ ' where false') %}
    {%- set work.links = cdi.single_value('select count(*) from ' ~ t.merge_links) -%}
    {% for round in range(1, 100000) %}
        {%- if work.links == 0 %}{% break %}{% endif -%}
        {% do work.log.append(['merges', round, work.links]) %}
        {% do cdi.create_work_table(t.picks, cdi.component_picks(t.merge_links)) %}
        {% call statement('merge_seqs') %}
            insert into {{ t.merge_seqs }} (seq) select distinct seq from {{ t.picks }}
        {% endcall %}
        {% do cdi.create_work_table(t.pointers, 'select vertex, parent from ' ~ t.picks) %}
        {% do cdi.follow_pointers(t.pointers, t.arrived) %}
        {% do cdi.replace_work_table(t.merge_links, cdi.component_contracted(t.merge_links, t.pointers)) %}
        {%- set work.links = cdi.single_value('select count(*) from ' ~ t.merge_links) -%}
    {% endfor %}

    {#- Writing. The graph comes last: what is in it is done. -#}
    {% for name in ['mixed', 'mixed_slots', 'vertices', 'merge_links', 'picks', 'pointers'] %}
        {% do cdi.drop_work_table(t[name]) %}
    {% endfor %}
    {% do cdi.create_work_table(t.profiles, cdi.component_profiles(t.final, t.found, t.touched)) %}
    {% do cdi.create_work_table(t.refused_seqs, cdi.component_refused_seqs(t.placed, t.parts)) %}
    {% do cdi.create_work_table(
        t.decided, cdi.component_decisions(t.placed, t.found, t.sets, t.refused_seqs, t.merge_seqs)
    ) %}
    {% do cdi.drop_work_table(t.placed) %}
    {% do cdi.create_work_table(t.absorbed, cdi.component_absorbed(t.touched, t.final, t.profiles)) %}
    {% do cdi.create_work_table(t.first_profiles, cdi.component_first_profiles(t.births, t.found)) %}
    {%- set counts = run_query(
        "select (select count(*) from " ~ t.found ~ " where not is_known), (select count(*) from " ~ t.absorbed ~ "),"
        ~ " (select count(*) from " ~ t.decided ~ " where decision = 'merged'),"
        ~ " (select count(*) from " ~ t.decided ~ " where decision = 'refused')"
    ).rows[0] -%}
    {% do cdi.release_work_tables() %}
    {% if is_full %}
        {% do drop_relation_if_exists(load_cached_relation(decisions)) %}
        {% call statement('create_decisions') %}{{ cdi.component_decision_table(decisions) }}{% endcall %}
    {% endif %}
    {% call statement('insert_decisions') %}{{ cdi.component_insert_decisions(decisions, t.decided) }}{% endcall %}
    {% if counts[1] > 0 %}
        {% call statement('merge_profiles') %}{{ cdi.component_merge(graph, t.absorbed) }}{% endcall %}
    {% endif %}
    {% call statement('main') %}
        {{ cdi.component_insert(graph, t.found, t.sets, t.final, t.profiles, t.first_profiles) }}
    {% endcall %}
    {% call statement('log_run') %}
        insert into {{ runs }}
        values (
            '{{ invocation_id }}',
            cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}' as {{ dbt.type_timestamp() }}),
            {{ 'true' if is_full else 'false' }}, {{ counts | join(', ') }}
        )
    {% endcall %}
    {% if work.log %}
        {% call statement('log_rounds') %}
            insert into {{ rounds }}
            values
            {%- for step, round, links in work.log %}
            ('{{ invocation_id }}', '{{ step }}', {{ round }}, {{ links }}){{ ',' if not loop.last }}
            {%- endfor %}
        {% endcall %}
    {% endif %}
    {% for name in t.values() %}
        {% do cdi.drop_work_table(name) %}
    {% endfor %}

    {% if is_full %}
        {% do create_indexes(graph) %}
        {% do cdi.take_place(graph, target_relation, existing) %}
    {% endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do apply_grants(target_relation, config.get('grants'), should_revoke=true) %}
    {% do persist_docs(target_relation, model) %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation, decisions]}) }}
{% endmaterialization %}

{# Follows the pointers (vertex, parent) of a work table until each points at a root, which points at itself. #}
{% macro follow_pointers(pointers, arrived) %}
    {%- set moving = pointers ~ '_moving' -%}
    {%- set state = namespace(count=1) -%}
    {% do cdi.create_work_table(arrived, 'select vertex, parent from ' ~ pointers ~ ' where vertex = parent') %}
    {% do cdi.create_work_table(moving, 'select vertex, parent from ' ~ pointers ~ ' where vertex <> parent') %}
    {% for jump in range(1, 65) %}
        {%- if state.count == 0 %}{% break %}{% endif -%}
        {% do cdi.replace_work_table(moving, cdi.component_jump(moving, arrived)) %}
        {% call statement('arrive') %}insert into {{ arrived }} (vertex, parent) {{ cdi.component_moved(moving, false) }}{% endcall %}
        {% do cdi.replace_work_table(moving, cdi.component_moved(moving, true)) %}
        {%- set state.count = cdi.single_value('select count(*) from ' ~ moving) -%}
    {% endfor %}
    {% do cdi.drop_work_table(moving) %}
    {% do cdi.drop_work_table(pointers) %}
    {% call statement('rename_pointers') %}alter table {{ arrived }} rename to {{ pointers }}{% endcall %}
    {% do cdi.release_work_tables() %}
{% endmacro %}
