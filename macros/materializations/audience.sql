{#
  The table of an audience, made anew; its hook writes down who enters and who leaves in the same transaction. It is what
  dbt's `table` gives, with half the statements: a project has many audiences, and most are small.
#}
{% materialization audience, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set intermediate = make_intermediate_relation(target_relation) -%}
    {% do drop_relation_if_exists(load_cached_relation(intermediate)) %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}{{ get_create_table_as_sql(False, intermediate, sql) }}{% endcall %}
    {% do cdi.take_place(intermediate, target_relation, existing) %}
    {% do create_indexes(target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do apply_grants(target_relation, config.get('grants'), should_revoke=true) %}
    {% do persist_docs(target_relation, model) %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
