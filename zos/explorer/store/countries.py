"""Countries by their English names, with region and subregion. Pure data (ISO 3166, the UN's regions)."""

from __future__ import annotations

from dataclasses import dataclass

_BY_SUBREGION = {
    ("Africa", "Northern Africa"): """
        DZ Algeria; EG Egypt; LY Libya; MA Morocco; SD Sudan; TN Tunisia; EH Western Sahara
    """,
    ("Africa", "Eastern Africa"): """
        IO British Indian Ocean Territory; BI Burundi; KM Comoros; DJ Djibouti; ER Eritrea; ET Ethiopia; KE Kenya;
        MG Madagascar; MW Malawi; MU Mauritius; YT Mayotte; MZ Mozambique; RE Réunion | Reunion; RW Rwanda;
        SC Seychelles; SO Somalia; SS South Sudan; TZ Tanzania; UG Uganda; ZM Zambia; ZW Zimbabwe
    """,
    ("Africa", "Middle Africa"): """
        AO Angola; CM Cameroon; CF Central African Republic; TD Chad; CG Congo | Republic of the Congo; CD DR Congo;
        GQ Equatorial Guinea; GA Gabon; ST São Tomé and Príncipe
    """,
    ("Africa", "Southern Africa"): """
        BW Botswana; SZ Eswatini; LS Lesotho; NA Namibia; ZA South Africa
    """,
    ("Africa", "Western Africa"): """
        BJ Benin; BF Burkina Faso; CV Cape Verde; CI Ivory Coast | Côte d'Ivoire; GM Gambia; GH Ghana; GN Guinea;
        GW Guinea-Bissau; LR Liberia; ML Mali; MR Mauritania; NE Niger; NG Nigeria; SH Saint Helena, Ascension and
        Tristan da Cunha; SN Senegal; SL Sierra Leone; TG Togo
    """,
    ("Americas", "Caribbean"): """
        AI Anguilla; AG Antigua and Barbuda; AW Aruba; BS Bahamas; BB Barbados; VG British Virgin Islands;
        BQ Caribbean Netherlands; KY Cayman Islands; CU Cuba; CW Curaçao; DM Dominica; DO Dominican Republic;
        GD Grenada; GP Guadeloupe; HT Haiti; JM Jamaica; MQ Martinique; MS Montserrat; PR Puerto Rico;
        BL Saint Barthélemy; KN Saint Kitts and Nevis; LC Saint Lucia; MF Saint Martin; VC Saint Vincent and the
        Grenadines; SX Sint Maarten; TT Trinidad and Tobago; TC Turks and Caicos Islands; VI United States Virgin
        Islands
    """,
    ("Americas", "Central America"): """
        BZ Belize; CR Costa Rica; SV El Salvador; GT Guatemala; HN Honduras; MX Mexico; NI Nicaragua; PA Panama
    """,
    ("Americas", "Northern America"): """
        BM Bermuda; CA Canada; GL Greenland; PM Saint Pierre and Miquelon; US United States | United States of America
        | USA; UM United States Minor Outlying Islands
    """,
    ("Americas", "South America"): """
        AR Argentina; BO Bolivia; BR Brazil; CL Chile; CO Colombia; EC Ecuador; FK Falkland Islands; GF French Guiana;
        GY Guyana; PY Paraguay; PE Peru; SR Suriname; UY Uruguay; VE Venezuela
    """,
    ("Antarctic", "Antarctic"): """
        AQ Antarctica; BV Bouvet Island; TF French Southern and Antarctic Lands; HM Heard Island and McDonald Islands;
        GS South Georgia
    """,
    ("Asia", "Central Asia"): """
        KZ Kazakhstan; KG Kyrgyzstan; TJ Tajikistan; TM Turkmenistan; UZ Uzbekistan
    """,
    ("Asia", "Eastern Asia"): """
        CN China; HK Hong Kong; JP Japan; MO Macau | Macao; MN Mongolia; KP North Korea; KR South Korea | Korea
        | Republic of Korea; TW Taiwan
    """,
    ("Asia", "South-Eastern Asia"): """
        BN Brunei; KH Cambodia; ID Indonesia; LA Laos; MY Malaysia; MM Myanmar; PH Philippines; SG Singapore;
        TH Thailand; TL Timor-Leste; VN Vietnam
    """,
    ("Asia", "Southern Asia"): """
        AF Afghanistan; BD Bangladesh; BT Bhutan; IN India; IR Iran; MV Maldives; NP Nepal; PK Pakistan; LK Sri Lanka
    """,
    ("Asia", "Western Asia"): """
        AM Armenia; AZ Azerbaijan; BH Bahrain; GE Georgia; IQ Iraq; IL Israel; JO Jordan; KW Kuwait; LB Lebanon;
        OM Oman; PS Palestine; QA Qatar; SA Saudi Arabia; SY Syria; TR Turkey | Türkiye; AE United Arab Emirates;
        YE Yemen
    """,
    ("Europe", "Eastern Europe"): """
        BY Belarus; BG Bulgaria; CZ Czechia | Czech Republic; HU Hungary; MD Moldova; PL Poland; RO Romania;
        RU Russia | Russian Federation; SK Slovakia; UA Ukraine
    """,
    ("Europe", "Northern Europe"): """
        DK Denmark; EE Estonia; FO Faroe Islands; FI Finland; GG Guernsey; IS Iceland; IE Ireland; IM Isle of Man;
        JE Jersey; LV Latvia; LT Lithuania; NO Norway; SJ Svalbard and Jan Mayen; SE Sweden; GB United Kingdom
        | Great Britain; AX Åland Islands
    """,
    ("Europe", "Southern Europe"): """
        AL Albania; AD Andorra; BA Bosnia and Herzegovina; HR Croatia; CY Cyprus; GI Gibraltar; GR Greece; IT Italy;
        XK Kosovo; MT Malta; ME Montenegro; MK North Macedonia | Macedonia; PT Portugal; SM San Marino; RS Serbia;
        SI Slovenia; ES Spain; VA Vatican City
    """,
    ("Europe", "Western Europe"): """
        AT Austria; BE Belgium; FR France; DE Germany; LI Liechtenstein; LU Luxembourg; MC Monaco; NL Netherlands
        | The Netherlands; CH Switzerland
    """,
    ("Oceania", "Australia and New Zealand"): """
        AU Australia; CX Christmas Island; CC Cocos (Keeling) Islands; NZ New Zealand; NF Norfolk Island
    """,
    ("Oceania", "Melanesia"): """
        FJ Fiji; NC New Caledonia; PG Papua New Guinea; SB Solomon Islands; VU Vanuatu
    """,
    ("Oceania", "Micronesia"): """
        GU Guam; KI Kiribati; MH Marshall Islands; FM Micronesia; NR Nauru; MP Northern Mariana Islands; PW Palau
    """,
    ("Oceania", "Polynesia"): """
        AS American Samoa; CK Cook Islands; PF French Polynesia; NU Niue; PN Pitcairn Islands; WS Samoa; TK Tokelau;
        TO Tonga; TV Tuvalu; WF Wallis and Futuna
    """,
}


@dataclass(frozen=True, slots=True)
class Country:
    """A country by one of its names: some have several, and nodes use any of them."""

    code: str
    """Two letters of ISO 3166-1."""
    name: str
    region: str
    subregion: str


def _parsed() -> tuple[Country, ...]:
    found = []
    for (region, subregion), listed in _BY_SUBREGION.items():
        for entry in " ".join(listed.split()).split("; "):
            code, _, names = entry.partition(" ")
            found += [Country(code, name, region, subregion) for name in names.split(" | ")]
    return tuple(sorted(found, key=lambda one: (one.code, one.name)))


COUNTRIES = _parsed()
_REGIONS = {one.name.casefold(): one.region for one in COUNTRIES}


def region(country: str) -> str:
    """Africa, Americas, Antarctic, Asia, Europe or Oceania; empty for a country that is not known."""
    return _REGIONS.get(" ".join(country.split()).casefold(), "")
