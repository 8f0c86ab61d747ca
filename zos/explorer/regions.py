"""Which part of the world a country is in, by its English name. Pure data (the UN's geographic regions)."""

from __future__ import annotations

_NAMES = {
    "Africa": """
        Algeria; Angola; Benin; Botswana; British Indian Ocean Territory; Burkina Faso; Burundi; Cameroon; Cape
        Verde; Central African Republic; Chad; Comoros; Congo; Côte d'Ivoire; DR Congo; Djibouti; Egypt; Equatorial
        Guinea; Eritrea; Eswatini; Ethiopia; Gabon; Gambia; Ghana; Guinea; Guinea-Bissau; Ivory Coast; Kenya;
        Lesotho; Liberia; Libya; Madagascar; Malawi; Mali; Mauritania; Mauritius; Mayotte; Morocco; Mozambique;
        Namibia; Niger; Nigeria; Republic of the Congo; Reunion; Rwanda; Réunion; Saint Helena, Ascension and
        Tristan da Cunha; Senegal; Seychelles; Sierra Leone; Somalia; South Africa; South Sudan; Sudan; São Tomé and
        Príncipe; Tanzania; Togo; Tunisia; Uganda; Western Sahara; Zambia; Zimbabwe
    """,
    "Americas": """
        Anguilla; Antigua and Barbuda; Argentina; Aruba; Bahamas; Barbados; Belize; Bermuda; Bolivia; Brazil;
        British Virgin Islands; Canada; Caribbean Netherlands; Cayman Islands; Chile; Colombia; Costa Rica; Cuba;
        Curaçao; Dominica; Dominican Republic; Ecuador; El Salvador; Falkland Islands; French Guiana; Greenland;
        Grenada; Guadeloupe; Guatemala; Guyana; Haiti; Honduras; Jamaica; Martinique; Mexico; Montserrat; Nicaragua;
        Panama; Paraguay; Peru; Puerto Rico; Saint Barthélemy; Saint Kitts and Nevis; Saint Lucia; Saint Martin;
        Saint Pierre and Miquelon; Saint Vincent and the Grenadines; Sint Maarten; Suriname; Trinidad and Tobago;
        Turks and Caicos Islands; USA; United States; United States Minor Outlying Islands; United States Virgin
        Islands; United States of America; Uruguay; Venezuela
    """,
    "Antarctic": """
        Antarctica; Bouvet Island; French Southern and Antarctic Lands; Heard Island and McDonald Islands; South
        Georgia
    """,
    "Asia": """
        Afghanistan; Armenia; Azerbaijan; Bahrain; Bangladesh; Bhutan; Brunei; Cambodia; China; Georgia; Hong Kong;
        India; Indonesia; Iran; Iraq; Israel; Japan; Jordan; Kazakhstan; Korea; Kuwait; Kyrgyzstan; Laos; Lebanon;
        Macao; Macau; Malaysia; Maldives; Mongolia; Myanmar; Nepal; North Korea; Oman; Pakistan; Palestine;
        Philippines; Qatar; Republic of Korea; Saudi Arabia; Singapore; South Korea; Sri Lanka; Syria; Taiwan;
        Tajikistan; Thailand; Timor-Leste; Turkey; Turkmenistan; Türkiye; United Arab Emirates; Uzbekistan; Vietnam;
        Yemen
    """,
    "Europe": """
        Albania; Andorra; Austria; Belarus; Belgium; Bosnia and Herzegovina; Bulgaria; Croatia; Cyprus; Czech
        Republic; Czechia; Denmark; Estonia; Faroe Islands; Finland; France; Germany; Gibraltar; Great Britain;
        Greece; Guernsey; Hungary; Iceland; Ireland; Isle of Man; Italy; Jersey; Kosovo; Latvia; Liechtenstein;
        Lithuania; Luxembourg; Macedonia; Malta; Moldova; Monaco; Montenegro; Netherlands; North Macedonia; Norway;
        Poland; Portugal; Romania; Russia; Russian Federation; San Marino; Serbia; Slovakia; Slovenia; Spain;
        Svalbard and Jan Mayen; Sweden; Switzerland; The Netherlands; Ukraine; United Kingdom; Vatican City; Åland
        Islands
    """,
    "Oceania": """
        American Samoa; Australia; Christmas Island; Cocos (Keeling) Islands; Cook Islands; Fiji; French Polynesia;
        Guam; Kiribati; Marshall Islands; Micronesia; Nauru; New Caledonia; New Zealand; Niue; Norfolk Island;
        Northern Mariana Islands; Palau; Papua New Guinea; Pitcairn Islands; Samoa; Solomon Islands; Tokelau; Tonga;
        Tuvalu; Vanuatu; Wallis and Futuna
    """,
}
_REGIONS = {" ".join(name.split()).casefold(): region for region, names in _NAMES.items() for name in names.split(";")}


def region(country: str) -> str:
    """Africa, Americas, Antarctic, Asia, Europe or Oceania; empty for a country that is not known."""
    return _REGIONS.get(" ".join(country.split()).casefold(), "")
