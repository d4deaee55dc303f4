{# What is predicted: the YAML of models in models/predictions (meta.prediction), see docs/predictions.md. #}

{# The kinds of predictions: the keys that each must have, and those it may have beside features, retrain_after, random_seed. #}
{% macro prediction_kinds() %}
    {{ return({
        'purchase': {'must': ['event', 'within'], 'may': []},
        'churn': {'must': ['event', 'within'], 'may': ['active_within']},
        'value': {'must': ['within'], 'may': []},
        'lookalike': {'must': ['seed'], 'may': []},
        'segments': {'must': ['clusters', 'features'], 'may': []},
    }) }}
{% endmacro %}

{#
  The declared predictions, checked: a list of {name, kind, event, within_days, active_within_days, recency, seed, clusters,
  features, descriptions, retrain_days, random_seed, version}, in the order of their names.

  event is the name of the event's model, recency the feature that says how many days it is ago, version a hash of all
  that a trained model depends on. What is wrong stops the compilation, each problem with file and key.
#}
{% macro declared_predictions() %}{{ return(cdi.once('predictions', cdi.read_predictions, of_graph=true)) }}{% endmacro %}

{% macro read_predictions() %}
    {%- set predictions, problems = [], [] -%}
    {%- set features = cdi.feature_names() -%}
    {%- set traits = cdi.declared_traits(cdi.node_of('profile_features')) -%}
    {%- for node in graph.nodes.values() | sort(attribute='name') if node.resource_type == 'model' -%}
        {%- set definition = node.config.get('meta', {}).get('prediction') -%}
        {%- if definition is not none -%}
            {%- set place = (node.patch_path or node.original_file_path).split('://') | last ~ ', prediction' -%}
            {%- do predictions.append(
                cdi.checked_prediction(node.name, definition, place, features, traits, problems)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('Wrong predictions. ' ~ problems | join('; ') ~ '.') }}
    {%- endif -%}
    {{ return(predictions) }}
{% endmacro %}

{# One prediction with its defaults filled in; see declared_predictions. #}
{% macro checked_prediction(name, definition, place, features, traits, problems) %}
    {%- set prediction = {
        'name': name, 'kind': none, 'event': none, 'within_days': none, 'active_within_days': none, 'recency': none,
        'seed': none, 'clusters': none, 'features': features, 'descriptions': [], 'retrain_days': 30, 'random_seed': 1,
    } -%}
    {%- if definition is not mapping or definition.get('kind') not in cdi.prediction_kinds() -%}
        {%- do problems.append(place ~ '.kind: is not one of ' ~ cdi.prediction_kinds() | join(', ')) -%}
        {{ return(prediction) }}
    {%- endif -%}
    {%- do prediction.update({'kind': definition.kind}) -%}
    {%- set known = cdi.prediction_kinds()[definition.kind] -%}
    {%- for key in known.must if key not in definition -%}
        {%- do problems.append(place ~ '.' ~ key ~ ': a ' ~ definition.kind ~ ' needs it') -%}
    {%- endfor -%}
    {%- for key in definition
        if key not in ['kind', 'features', 'retrain_after', 'random_seed'] + known.must + known.may -%}
        {%- do problems.append(place ~ '.' ~ key ~ ': is nothing that a ' ~ definition.kind ~ ' has') -%}
    {%- endfor -%}

    {%- for key, into in {
        'within': 'within_days', 'active_within': 'active_within_days', 'retrain_after': 'retrain_days'
    }.items() if key in definition -%}
        {%- set seconds = cdi.seconds_of(definition[key]) -%}
        {%- if not seconds or seconds % 86400 -%}
            {%- do problems.append(place ~ '.' ~ key ~ ": '" ~ definition[key] ~ "' is no span of whole days such as 30 days") -%}
        {%- else -%}
            {%- do prediction.update({into: seconds // 86400}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if definition.kind == 'churn' and 'active_within' not in definition -%}
        {%- do prediction.update({'active_within_days': 365}) -%}
    {%- endif -%}
    {%- if 'random_seed' in definition -%}
        {%- if definition.random_seed is not integer or definition.random_seed is boolean -%}
            {%- do problems.append(place ~ '.random_seed: is no whole number') -%}
        {%- endif -%}
        {%- do prediction.update({'random_seed': definition.random_seed}) -%}
    {%- endif -%}

    {%- if 'features' in definition -%}
        {%- set wanted = definition.features -%}
        {%- if wanted is string or wanted is mapping or wanted is not sequence or not wanted -%}
            {%- do problems.append(place ~ '.features: is no list of columns of profile_features') -%}
        {%- else -%}
            {%- for feature in wanted if feature not in features -%}
                {%- do problems.append(
                    place ~ ".features: '" ~ feature ~ "' is no number of profile_features; " ~ cdi.names_like(feature, features)
                ) -%}
            {%- endfor -%}
            {%- do prediction.update({'features': wanted | list}) -%}
        {%- endif -%}
    {%- endif -%}

    {%- if definition.kind == 'segments' -%}
        {%- set clusters = definition.get('clusters') -%}
        {%- if clusters is not integer or clusters is boolean or clusters < 2 or clusters > 30 -%}
            {%- do problems.append(place ~ '.clusters: is no whole number from 2 to 30') -%}
        {%- endif -%}
        {%- set columns = cdi.node_of('profile_features').columns -%}
        {%- do prediction.update({'clusters': clusters}) -%}
        {%- for feature in prediction.features if feature in columns -%}
            {%- do prediction.descriptions.append(columns[feature].description) -%}
        {%- endfor -%}
    {%- elif definition.kind == 'lookalike' -%}
        {%- do prediction.update({'seed': cdi.checked_seed(definition.get('seed'), place, problems)}) -%}
    {%- else -%}
        {%- set event = cdi.event_node(definition.get('event', 'order_completed')) -%}
        {%- if event is none -%}
            {%- do problems.append(place ~ ".event: '" ~ definition.event ~ "' is no event of the tracking plan") -%}
        {%- else -%}
            {%- do prediction.update({'event': event.name, 'recency': cdi.recency_feature(event.name, traits)}) -%}
            {%- if prediction.recency is none -%}
                {%- do problems.append(
                    place ~ '.event: models/predictions/profile_features.yml has no days_since of the last ' ~ event.name
                    ~ ', which the baseline needs; add it'
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
    {%- set definitions = [] -%}
    {%- for trait in traits -%}
        {%- do definitions.append([trait.name, trait.type, trait.event, trait.value, trait.conditions, trait.window, trait.of]) -%}
    {%- endfor -%}
    {%- do prediction.update({'version': local_md5(tojson([prediction, definitions], sort_keys=true))[:12]}) -%}
    {{ return(prediction) }}
{% endmacro %}

{# Whom a look-alike is like: {audience: name}, as it was after the last run, or {trait: name, top: number}. #}
{% macro checked_seed(seed, place, problems) %}
    {%- if seed is not mapping or seed | list | sort not in [['audience'], ['top', 'trait']] -%}
        {%- do problems.append(
            place ~ '.seed: names an audience, {audience: best_customers}, or the profiles with most of a trait,'
            ~ ' {trait: net_revenue, top: 500}'
        ) -%}
    {%- elif 'audience' in seed -%}
        {%- set audiences = [] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model' and node.fqn | length == 3 and node.fqn[1] == 'audiences' -%}
            {%- do audiences.append(node.name) -%}
        {%- endfor -%}
        {%- if seed.audience not in audiences -%}
            {%- do problems.append(
                place ~ ".seed.audience: '" ~ seed.audience ~ "' is no audience; " ~ cdi.names_like(seed.audience, audiences)
            ) -%}
        {%- endif -%}
    {%- else -%}
        {%- set columns = cdi.profile_columns() -%}
        {%- if cdi.kind_of(columns.get(seed.trait)) != 'number' -%}
            {%- do problems.append(place ~ ".seed.trait: '" ~ seed.trait ~ "' is no number of profiles") -%}
        {%- endif -%}
        {%- if seed.top is not integer or seed.top is boolean or seed.top < 1 -%}
            {%- do problems.append(place ~ '.seed.top: is no whole number from 1') -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(seed) }}
{% endmacro %}

{# The feature that says how many days ago an event last happened; none where there is none. #}
{% macro recency_feature(event, traits) %}
    {%- for trait in traits if trait.type == 'days_since' -%}
        {%- set last = traits | selectattr('name', 'equalto', trait.of[0]) | first -%}
        {%- if last.type == 'last' and last.event == event and not last.conditions and last.window['from'] is none -%}
            {{ return(trait.name) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}

{#
  The names of predictions that are to be trained in this run: those whose last training is retrain_after ago, or was with
  another definition; where it gave no model, a day ago.
#}
{% macro due_predictions() %}
    {%- set names = [] -%}
    {%- set trained = {} -%}
    {%- set table = cdi.prediction_relation('trained_models') -%}
    {%- if execute and flags.INTROSPECT and load_relation(table) is not none -%}
        {%- for prediction in cdi.declared_predictions() -%}
            {%- set due_at -%}
                case
                    when max(case when reason is null then trained_at end) = max(trained_at)
                        then {{ dbt.dateadd('day', prediction.retrain_days, 'max(trained_at)') }}
                    else {{ dbt.dateadd('day', 1, 'max(trained_at)') }}
                end
            {%- endset -%}
            {%- set found = cdi.single_value(
                'select case when ' ~ due_at ~ ' > ' ~ cdi.as_of() ~ ' then 1 else 0 end from ' ~ table
                ~ " where prediction = '" ~ prediction.name ~ "' and version = '" ~ prediction.version
                ~ "' and trained_at <= " ~ cdi.as_of()
            ) -%}
            {%- do trained.update({prediction.name: found == 1}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for prediction in cdi.declared_predictions() if not trained.get(prediction.name) -%}
        {%- do names.append(prediction.name) -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}

{# One row per declared prediction: what Python needs to know of it. #}
{% macro prediction_rows() -%}
    {%- do ref('profile_features') -%}
    {%- if not execute -%}{{ return('select 1 as prediction') }}{%- endif -%}
    {%- set due = cdi.due_predictions() -%}
    {%- for prediction in cdi.declared_predictions() %}
select
    '{{ prediction.name }}' as prediction,
    '{{ prediction.kind }}' as kind,
    '{{ prediction.version }}' as version,
    {{ 'true' if prediction.name in due else 'false' }} as is_due,
    '{{ dbt.escape_single_quotes(tojson(prediction, sort_keys=true)) }}' as definition,
    {{ cdi.as_of() }} as as_of
{{ 'union all' if not loop.last }}
    {%- else %}
select
    {{ cdi.null_text() }} as prediction,
    {{ cdi.null_text() }} as kind,
    {{ cdi.null_text() }} as version,
    false as is_due,
    {{ cdi.null_text() }} as definition,
    {{ cdi.as_of() }} as as_of
from (select 1 as nothing) as nobody
where nothing = 0
    {%- endfor -%}
{%- endmacro %}
