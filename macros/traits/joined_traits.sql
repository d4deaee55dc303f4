{# Traits of several models side by side: what `profile_traits` and `profiles` are made of. #}

{#
  The columns of models with one row per profile (or account), as their YAML has them. A column with meta.default has that value for
  whom its model has no row; traits that count have 0.

  own: the names of the columns that the model itself has beside them.
#}
{% macro joined_traits(models, own=[]) -%}
    {%- set columns, from_model = [], {} -%}
    {%- for name in own -%}{%- do from_model.update({name: model.name}) -%}{%- endfor -%}
    {%- for name in models -%}
        {%- do ref(name) -%}
        {%- if execute -%}
            {%- if cdi.node_of(name).columns | length < 2 -%}
                {{ exceptions.raise_compiler_error(
                    cdi.node_of(name).original_file_path ~ ': the YAML beside it has to list its columns, each with its data_type;'
                    ~ ' these join ' ~ model.name ~ '.'
                ) }}
            {%- endif -%}
            {%- for column in cdi.node_of(name).columns.values() if column.name not in ['profile_id', 'account_id'] -%}
                {%- if column.name in from_model -%}
                    {%- do cdi.refuse_second_column(cdi.node_of(name), column.name, from_model[column.name]) -%}
                {%- endif -%}
                {%- do from_model.update({column.name: name}) -%}
                {%- do columns.append(cdi.joined_trait(name, column, cdi.node_of(name))) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ columns | join(',\n    ') if columns else 'null as traits' }}
{%- endmacro %}

{# Stops for a model's column whose name another model's has. #}
{% macro refuse_second_column(node, column, other) %}
    {{ exceptions.raise_compiler_error(
        cdi.column_place(node, column) ~ ': ' ~ other ~ ' has a column of that name too; rename one.'
    ) }}
{% endmacro %}

{# Where a column of a model is declared: models/x.yml, model, column y. #}
{% macro column_place(node, column) %}
    {{ return((node.patch_path or node.original_file_path).split('://') | last ~ ', ' ~ node.name ~ ', column ' ~ column) }}
{% endmacro %}

{# A column of a joined relation, with what it is for whom that has no row. node: the model that has the column. #}
{% macro joined_trait(relation, column, node) %}
    {%- set meta = cdi.column_meta(column) -%}
    {%- set counts = (meta.get('trait') or {}).get('type') in ['count', 'unique_count', 'streak'] -%}
    {%- set default = meta.get('default', 0 if counts else none) -%}
    {%- if default is none -%}{{ return(relation ~ '.' ~ column.name) }}{%- endif -%}
    {%- set problems = [] -%}
    {%- set literal = cdi.value_literal(default, cdi.kind_of(column.data_type), cdi.column_place(node, column.name) ~ ', default', problems) -%}
    {%- if problems -%}{{ exceptions.raise_compiler_error(problems | join('; ')) }}{%- endif -%}
    {{ return('coalesce(' ~ relation ~ '.' ~ column.name ~ ', ' ~ literal ~ ') as ' ~ column.name) }}
{% endmacro %}

{# The columns of `profile_traits` without its `revision`; none may be one of the other models that `profiles` joins too. #}
{% macro kept_traits() -%}
    {%- if not execute -%}{{ return('profile_traits.*') }}{%- endif -%}
    {%- set kept = cdi.columns_behind('profile_traits') -%}
    {%- for parent in cdi.parents_with_profiles(model.name) if parent.name != 'profile_traits' -%}
        {%- for name in parent.columns if name in kept and name != 'profile_id' -%}
            {%- do cdi.refuse_second_column(parent, name, 'profile_traits') -%}
        {%- endfor -%}
    {%- endfor -%}
    profile_traits.{{ kept | join(',\n    profile_traits.') }}
{%- endmacro %}

{# Joins them to a relation with a profile_id. #}
{% macro join_traits(models, relation) -%}
    {%- for name in models -%}
        {#- Of a large table only the rows that are wanted: what is joined is read into memory. -#}
        {%- set rows = '(select * from ' ~ ref(name) ~ ' where ' ~ cdi.is_due('profile_id') ~ ')' if cdi.is_partial()
            else ref(name) %}
        left join {{ rows }} as {{ name }} on {{ relation }}.profile_id = {{ name }}.profile_id
        {{- '\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# {name: data_type} of all that `profiles` has: its own columns and those of the models that are joined. #}
{% macro profile_columns() %}{{ return(cdi.once('profile columns', cdi.read_profile_columns, of_graph=true)) }}{% endmacro %}

{% macro read_profile_columns() %}
    {{ return(dict(cdi.columns_behind('profile_traits'), **cdi.columns_behind('profiles'))) }}
{% endmacro %}

{# {name: data_type} of what a model says it has, and of what the models have that it joins. #}
{% macro columns_behind(name) %}
    {%- set found = {} -%}
    {%- for node in [cdi.node_of(name)] + cdi.parents_with_profiles(name) -%}
        {%- for column in node.columns.values() -%}{%- do found.update({column.name: column.data_type}) -%}{%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The models with rows of profiles that a model reads, but for those that say which profiles there are. #}
{% macro parents_with_profiles(name) %}
    {%- set parents = [] -%}
    {%- for id in cdi.node_of(name).depends_on.nodes if id in graph.nodes -%}
        {%- set parent = graph.nodes[id] -%}
        {%- if 'profile_id' in parent.columns and parent.name not in ['identity_graph', 'merged_profiles'] -%}
            {%- do parents.append(parent) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parents) }}
{% endmacro %}

{# What `profile_traits` depends on besides rows: a model that gets a column or a default has everything built anew. #}
{% macro joined_trait_columns() %}
    {%- set defaults = {} -%}
    {%- for id in model.depends_on.nodes if id in graph.nodes -%}
        {%- for column in graph.nodes[id].columns.values() -%}
            {%- set meta = cdi.column_meta(column) -%}
            {%- do defaults.update({id ~ ' ' ~ column.name: [meta.get('default'), (meta.get('trait') or {}).get('type')]}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return([cdi.profile_columns(), defaults]) }}
{% endmacro %}
