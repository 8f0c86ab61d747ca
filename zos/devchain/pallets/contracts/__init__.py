"""SmartContractModule: node, name and rent contracts, what they use, what they cost, and their end."""

from zos.devchain.pallets.contracts.calls import SmartContracts
from zos.devchain.pallets.contracts.layout import PALLET, RESERVE_PALLET, Variant

__all__ = ["PALLET", "RESERVE_PALLET", "SmartContracts", "Variant"]
