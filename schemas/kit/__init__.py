"""What a read model is declared with."""

from schemas.kit.row import INDEXED, Column, Row, computed, fold, table_of

__all__ = ["INDEXED", "Column", "Row", "computed", "fold", "table_of"]
