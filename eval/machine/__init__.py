"""What compression does to the accuracy of the models that look at the result.

    source -> item -> codec (a real file, and back) -> task -> answer -> items.tsv -> figures -> report

`run` measures, `summary` computes all figures from the rows of items.tsv alone, `results` and `page` show them.
"""
