{#
  A view for one tool (meta.sync.tool): the rows of the model's SQL that permitted_rows lets through. Consent and
  suppression are no part of a model, so that none can be written without them; `cdi sync` sends no other models.

  A tool without a row in seeds/consent_categories.csv is refused. One that needs no consent has a row without a category.
#}
{% materialization activation, default %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set tool = (config.get('meta', {}).get('sync') or {}).get('tool') -%}
    {%- if not tool -%}
        {%- do exceptions.raise_compiler_error(
            'An activation model says in meta.sync which tool it goes to, since consent depends on it: '
            ~ model.patch_path ~ ' does not.'
        ) -%}
    {%- endif -%}
    {#- On lines of its own: the SQL may end in a comment. -#}
    {%- set columns = adapter.get_column_schema_from_query('select * from (\n' ~ sql ~ '\n) as model') -%}
    {%- if 'profile_id' not in columns | map(attribute='name') | map('lower') -%}
        {%- do exceptions.raise_compiler_error(
            'An activation model has a column profile_id, whose consent decides: ' ~ model.original_file_path
            ~ ' has none.'
        ) -%}
    {%- endif -%}
    {%- set categories = run_query(
        "select category from " ~ ref('consent_categories') ~ " where tool = '" ~ dbt.escape_single_quotes(tool) ~ "'"
    ).rows | map(attribute=0) | list -%}
    {%- if not categories -%}
        {%- do exceptions.raise_compiler_error(
            "seeds/consent_categories.csv says nothing about the tool '" ~ tool ~ "': add the categories that it needs,"
            ~ " or a row without a category where it needs none."
        ) -%}
    {%- endif -%}
    {%- for category in categories if category is not none and category not in var('consent_categories') -%}
        {%- do exceptions.raise_compiler_error(
            "seeds/consent_categories.csv: the category '" ~ category ~ "' of the tool '" ~ tool
            ~ "' is not among the consent_categories of dbt_project.yml."
        ) -%}
    {%- endfor -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif -%}
    {% do cdi.replace_view(target_relation, cdi.permitted_rows(sql, tool)) %}
    {% do apply_grants(target_relation, config.get('grants'), should_revoke=true) %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
