from nw_platform.parsing.contract import TYPES
from nw_platform.record import envelope, names
from nw_platform.record.rules import COLUMN_TYPES


def test_the_light_list_of_names_is_the_schema():
    assert tuple(f.name for f in envelope.ENVELOPE_FIELDS) == names.ENVELOPE_COLUMNS
    assert tuple(f.name for f in envelope.TRAILING_FIELDS) == names.TRAILING_COLUMNS


def test_the_light_list_of_types_is_the_one_formats_use():
    assert tuple(TYPES) == COLUMN_TYPES
