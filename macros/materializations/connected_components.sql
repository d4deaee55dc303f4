{#
  A table of identifiers and the profile each belongs to, from a model that selects links: identifier, identifier_type,
  identifier_value, hub (the identifier it is linked to; a hub links to itself), arrival (text that sorts in the order
  of arrival), loaded_at.

  Connected components by contraction: every vertex points at its smallest neighbour, pointers are followed until they
  stop changing, links are redrawn between the roots, and so on until no link is left. Each round at least halves the
  vertices that have links, so there is no depth at which it stops early.

  An incremental run starts from the profiles that new links touch, each as one vertex, and costs by what is new. A
  profile's id is the hash of its first identifier in the order of arrival, so it is that of a full refresh.

  Columns: identifier, identifier_type, identifier_value, identifier_id (hash of the identifier), profile_id,
  arrival, loaded_at. Beside the table, <name>_runs keeps one row per run.
#}
{% materialization connected_components, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set is_full = should_full_refresh() or existing is none or existing.is_view -%}
    {%- set graph = make_intermediate_relation(target_relation) if is_full else target_relation -%}
    {%- set work = namespace(prefix='cdi_' ~ model.alias ~ '_', round=0, links=none, version=0) -%}

    {{ run_hooks(pre_hooks) }}

    {% if is_full %}
        {% do drop_relation_if_exists(load_cached_relation(graph)) %}
        {% call statement('create_graph') %}{{ cdi.identity_graph_table(graph) }}{% endcall %}
    {% endif %}

    {#- What is new, and the vertices it touches: profiles that are there already and identifiers that are not. -#}
    {%- set newest = none if is_full else cdi.single_value('select max(loaded_at) from ' ~ graph) -%}
    {% do cdi.create_work_table(work.prefix ~ 'links', cdi.identity_new_links(sql, newest)) %}
    {% do cdi.create_work_table(work.prefix ~ 'found', cdi.identity_found(work.prefix ~ 'links', graph)) %}
    {% do cdi.create_work_table(work.prefix ~ 'vertices', cdi.identity_vertices(work.prefix ~ 'found', graph)) %}
    {% do cdi.create_work_table(work.prefix ~ 'roots_0', 'select vertex, vertex as root from ' ~ work.prefix ~ 'vertices') %}
    {% do cdi.create_work_table(
        work.prefix ~ 'edges_0',
        cdi.identity_edges(work.prefix ~ 'links', work.prefix ~ 'found', work.prefix ~ 'vertices')
    ) %}
    {%- set work.links = cdi.single_value('select count(*) from ' ~ work.prefix ~ 'edges_0') -%}

    {#- dbt's Jinja has no while: the range is far beyond what halving can need, and running out of it is an error. -#}
    {% for round in range(1, 65) if work.links > 0 %}
        {%- set before = round - 1 -%}
        {%- set edges = work.prefix ~ 'edges_' ~ before -%}
        {%- set pointers = namespace(name=work.prefix ~ 'pointers_' ~ round ~ '_0', moving=1) -%}
        {% do cdi.create_work_table(pointers.name, cdi.identity_pointers(edges)) %}
        {% for jump in range(1, 65) if pointers.moving > 0 %}
            {%- set jumped = work.prefix ~ 'pointers_' ~ round ~ '_' ~ jump -%}
            {% do cdi.create_work_table(jumped, cdi.identity_jump(pointers.name)) %}
            {%- set pointers.moving = cdi.single_value(
                'select count(*) from ' ~ jumped ~ ' where parent <> parent_before'
            ) -%}
            {% do cdi.drop_work_table(pointers.name) %}
            {%- set pointers.name = jumped -%}
        {% endfor %}
        {% do cdi.create_work_table(
            work.prefix ~ 'roots_' ~ round, cdi.identity_roots(work.prefix ~ 'roots_' ~ before, pointers.name)
        ) %}
        {% do cdi.create_work_table(work.prefix ~ 'edges_' ~ round, cdi.identity_contracted(edges, pointers.name)) %}
        {% do cdi.drop_work_table(work.prefix ~ 'roots_' ~ before) %}
        {% do cdi.drop_work_table(edges) %}
        {% do cdi.drop_work_table(pointers.name) %}
        {%- set work.links = cdi.single_value('select count(*) from ' ~ work.prefix ~ 'edges_' ~ round) -%}
        {%- set work.round = round -%}
        {% do log(model.alias ~ ': round ' ~ round ~ ', ' ~ work.links ~ ' links left') %}
    {% endfor %}
    {% if work.links > 0 %}
        {% do exceptions.raise_compiler_error(
            model.alias ~ ' still had ' ~ work.links ~ ' links after 64 rounds; please report this'
        ) %}
    {% endif %}

    {% do cdi.create_work_table(
        work.prefix ~ 'joined', cdi.identity_joined(work.prefix ~ 'vertices', work.prefix ~ 'roots_' ~ work.round)
    ) %}
    {%- set counts = run_query(
        'select count(*), coalesce(sum(case when is_profile and profile_id <> joined_profile_id then 1 else 0 end), 0) from '
        ~ work.prefix ~ 'joined'
    ).rows[0] -%}
    {%- set count_new = cdi.single_value(
        'select count(*) from ' ~ work.prefix ~ 'found where not is_known'
    ) -%}
    {% if counts[1] > 0 %}
        {% call statement('merge_profiles') %}{{ cdi.identity_merge(graph, work.prefix ~ 'joined') }}{% endcall %}
    {% endif %}
    {% call statement('main') %}
        {{ cdi.identity_insert(graph, work.prefix ~ 'found', work.prefix ~ 'joined') }}
    {% endcall %}
    {% do cdi.log_identity_run(target_relation, is_full, count_new, counts[1], work.round) %}
    {% for name in ['links', 'found', 'vertices', 'joined', 'roots_' ~ work.round, 'edges_' ~ work.round] %}
        {% do cdi.drop_work_table(work.prefix ~ name) %}
    {% endfor %}

    {% if is_full %}
        {% do create_indexes(graph) %}
        {% if existing is not none %}
            {%- set backup = make_backup_relation(target_relation, existing.type) -%}
            {% do drop_relation_if_exists(load_cached_relation(backup)) %}
            {% do adapter.rename_relation(existing, backup) %}
            {% do adapter.rename_relation(graph, target_relation) %}
            {% do drop_relation_if_exists(backup) %}
        {% else %}
            {% do adapter.rename_relation(graph, target_relation) %}
        {% endif %}
    {% endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do apply_grants(target_relation, config.get('grants'), should_revoke=true) %}
    {% do persist_docs(target_relation, model) %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
