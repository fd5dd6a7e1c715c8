-- Lines of a day are the sum of its hours' lines, and every record that is counted by type is counted by minute.
with hours as (
    select left(period, 10) as day, stream, sum(lines) as lines
    from {{ ref('int_type_counts_hour') }}
    group by all
),

days as (
    select period as day, stream, sum(lines) as lines
    from {{ ref('int_type_counts_day') }}
    where period in {{ wanted('day') }}
    group by all
)

select hours.day, hours.stream, hours.lines as lines_of_hours, days.lines as lines_of_day
from hours
join days using (day, stream)
where hours.lines <> days.lines
