"""What compression does to the accuracy of the models that look at the result.

    source -> item -> codec (a real file, and back) -> task -> answer -> items.tsv -> statistics -> report
"""
